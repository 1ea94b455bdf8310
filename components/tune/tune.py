"""Search for the values of a model's keys that validate best: rounds of trials, each of them a training."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from components.artifacts.dataset import load_info
from components.artifacts.model import MONITORED, ModelInfo
from components.artifacts.search import Range, Search, Trial, Tune, with_values
from components.common.events import progress
from components.common.files import atomic_directory, write_json, write_text
from components.common.spec import ModelSpec
from components.tune.here import train_here
from components.tune.jobs import train_in_jobs
from components.tune.training import Training
from components.vertex.checkpoints import address, checkpoints_folder, hold_checkpoints
from components.vertex.client import Vertex
from components.vertex.placement import Placement

# The number of trials that are drawn at random before the sampler looks at results: at most half of all.
RANDOM_TRIALS = 10
LONGEST_REASON = 500

# A function that yields each training when it has ended, and the reason why it failed; "" where it didn't.
Train = Callable[[list[Training]], Generator[tuple[Training, str], None, None]]


def tune(
    name: str,
    spec_json: str,
    tune_json: str,
    seed: int,
    code_version: str,
    dataset: str,
    folder: str,
    tuned: str,
    placement_json: str,
    vertex: str,
    checkpoints: str,
) -> Search:
    """Run the trials of a search that aren't done yet, and write what was found.

    Values are drawn for a round at a time, from the results of the rounds before. So they depend on the seed and the
    `Tune` alone, not on how many trials this machine trains at once, or on which of them ends first. A search that was
    interrupted draws the same values again, and finds the trials that were trained.

    The arguments are those of the component, by whose docstring KFP describes them.

    Returns:
        The content of `trials.json`.

    Raises:
        InputError: Vertex AI refuses a job.
        RuntimeError: All trials failed.
        SystemExit: SIGTERM came, and all trainings have ended. The exit code is 143.
    """
    asked, info = Tune.model_validate_json(tune_json), load_info(dataset)
    placement = Placement.model_validate_json(placement_json)
    key = [name, seed, info.sha256, code_version, placement.precision]
    home = checkpoints_folder(checkpoints, folder) / f"tune-{name}-{_digest(key)}"

    # A trial is judged by its history, and its model is thrown away.
    base = json.loads(spec_json) | {"calibrate": False, "keep_checkpoints": 0}
    base |= {"epochs": asked.epochs} if asked.epochs else {}

    def training(number: int, values: dict[str, object]) -> Training:
        trial_spec = _spec(with_values(base, values))
        own = home / "trials" / _digest(trial_spec)
        arguments = {"name": name, "spec_json": trial_spec, "seed": seed, "code_version": code_version}
        arguments |= {"dataset": dataset, "folder": str(own / "model"), "precision": placement.precision}
        arguments["checkpoints"] = address(home / "checkpoints")
        return Training(number, values, own, arguments)

    def train(trainings: list[Training]) -> Generator[tuple[Training, str], None, None]:
        if vertex:
            return train_in_jobs(trainings, placement, Vertex.model_validate_json(vertex), folder)
        return train_here(trainings)

    metric, mode = MONITORED[info.task]
    with hold_checkpoints(address(home), folder) as check:
        trials, trainings = _search(asked, seed, metric, mode, training, train, check)
        finished = [trial for trial in trials if trial.score is not None]
        if not finished:
            # Nothing is kept, so that another start tries them again.
            check()
            shutil.rmtree(home)
            raise RuntimeError(f"all {len(trials)} trials failed; trial 1: {trials[0].reason}")
        # Of equal scores, the first is the best.
        best = (max if mode == "max" else min)(finished, key=lambda trial: trial.score or 0.0)
        search = Search(metric=metric, mode=mode, best=best.number, tune=asked, trials=trials)
        progress(f"best trial {best.number}: {metric} {best.score:.4f}; {_said(best.values)}")
        with atomic_directory(Path(folder)) as new:
            search.save(new)
            for done in trainings:
                if done.log.exists():
                    shutil.copyfile(done.log, new / f"trial-{done.number}.log")
        write_text(Path(tuned), _spec(with_values(json.loads(spec_json), best.values)))
        check()
        shutil.rmtree(home)
    return search


def _search(
    asked: Tune,
    seed: int,
    metric: str,
    mode: str,
    training: Callable[[int, dict[str, object]], Training],
    train: Train,
    check: Callable[[], None],
) -> tuple[list[Trial], list[Training]]:
    """Draw values, train and learn, one round after the other. Returns all trials, and their trainings."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = TPESampler(seed=seed, n_startup_trials=min(RANDOM_TRIALS, (asked.trials + 1) // 2))
    study = optuna.create_study(sampler=sampler, direction="maximize" if mode == "max" else "minimize")
    space = {key: _distribution(one) for key, one in asked.ranges.items()}
    trials: list[Trial] = []
    firsts: dict[Path, Training] = {}
    while len(trials) < asked.trials:
        drawn = [study.ask(space) for _ in range(min(asked.parallel, asked.trials - len(trials)))]
        wanted = [training(n, _values(one.params, asked.ranges)) for n, one in enumerate(drawn, len(trials) + 1)]
        # Values that were drawn before aren't trained again.
        new = [one for one in wanted if firsts.setdefault(one.folder, one) is one and _known(one) is None]
        _train_all(new, train, asked, metric, check)
        for one, made in zip(drawn, wanted, strict=True):
            first = firsts[made.folder]
            same_as = None if made is first else first.number
            outcome = _known(made) or {}
            trials.append(Trial(number=made.number, values=made.values, same_as=same_as, **outcome))
            if made not in new:
                _report(asked, made, f"as trial {same_as}" if same_as else "trained before the interruption")
            if (score := trials[-1].score) is None:
                study.tell(one, state=TrialState.FAIL)
            else:
                study.tell(one, score)
    return trials, list(firsts.values())


def _train_all(trainings: list[Training], train: Train, asked: Tune, metric: str, check: Callable[[], None]) -> None:
    """Run trainings, and write the outcome of each as soon as it has ended."""
    if not trainings:
        return
    with closing(train(trainings)) as over:
        for done, reason in over:
            outcome = _outcome(done, reason, metric)
            check()
            write_json(done.outcome, {**outcome, "sha256": _digest(outcome)})
            shutil.rmtree(done.model, ignore_errors=True)
            said = "failed: {reason}" if reason else metric + " {score:.4f} after epoch {best_epoch}, {seconds:.1f} s"
            _report(asked, done, said.format(**outcome))


def _known(done: Training) -> dict[str, Any] | None:
    """The outcome of a training as fields of a `Trial`; None where none was written, or the file was changed since."""
    if not os.path.lexists(done.outcome):
        return None
    try:
        outcome = json.loads(done.outcome.read_bytes())
        if outcome.pop("sha256") == _digest(outcome):
            return dict(outcome)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        pass
    print(f"trial {done.number}: {done.outcome.name} is damaged, it is trained again", flush=True)
    if done.outcome.is_dir():
        done.outcome.rmdir()
    return None


def _outcome(done: Training, reason: str, metric: str) -> dict[str, object]:
    """The outcome of a training as fields of a `Trial`."""
    if reason:
        return {"state": "failed", "reason": reason[:LONGEST_REASON]}
    model = ModelInfo.load(done.model)
    scores = [epoch[metric] for epoch in model.history]
    return {
        "state": "complete",
        "scores": scores,
        "score": scores[model.best_epoch - 1],
        "best_epoch": model.best_epoch,
        "seconds": model.train_seconds,
    }


def _distribution(asked: Range) -> BaseDistribution:
    """The distribution that Optuna draws from. Its choices can't be lists, so the place of a value is drawn."""
    if asked.values is not None:
        return CategoricalDistribution(tuple(range(len(asked.values))))
    if asked.whole:
        return IntDistribution(asked.low, asked.high, log=asked.log)
    return FloatDistribution(float(asked.low), float(asked.high), log=asked.log)


def _values(drawn: dict[str, Any], ranges: dict[str, Range]) -> dict[str, object]:
    places = {key: one.values for key, one in ranges.items()}
    return {key: drawn[key] if (values := places[key]) is None else values[drawn[key]] for key in ranges}


def _spec(config: dict[str, object]) -> str:
    """A checked `ModelSpec` as JSON, without the defaults."""
    spec = ModelSpec.model_validate(config)
    return json.dumps(spec.model_dump(exclude_unset=True), sort_keys=True)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _said(values: dict[str, object]) -> str:
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {json.dumps(v)}" for k, v in values.items())


def _report(asked: Tune, done: Training, said: str) -> None:
    progress(f"trial {done.number}/{asked.trials}  {said}; {_said(done.values)}")
