"""The part of an audit that computes: train some steps again, predict and measure from the raw data, and compare."""

import contextlib
import io
import json
import math
import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.artifacts.dataset import DatasetInfo, SeriesInfo, load_info
from components.artifacts.leaderboard import figure
from components.artifacts.model import CHECKPOINTS, KERAS_FILE, Temperature, compiled
from components.artifacts.series_table import load_table
from components.common.files import printable
from components.data import input_pipeline, storage
from components.data.replicas import WHOLE, steps_per_epoch
from components.evaluate.evaluate import BATCH
from components.ingest.ingest import ingest
from components.metrics import bootstrap, metrics
from components.sources import load_source
from components.train.kept import AFTER, drawn, staying, tail
from components.train.redo import Redone, metrics_of, redo
from components.train.threads import cpu, use_threads
from components.train.train import finished
from pipeline.evidence.claims import Claims, arrays
from pipeline.evidence.exported import exported_model
from pipeline.evidence.line import Line
from pipeline.evidence.proof import PREDICTIONS

# What is allowed on another CPU than the training's: a distance of the weights, as a share of the way that they went in
# these steps; and a difference of a prediction, as a share of the largest.
WEIGHTS = 0.05
OUTPUTS = 1e-3
# Sums in another order, in NumPy.
ROUNDING = 1e-9


def recompute(claims: Claims, step: int | None, scratch: Path, say: Callable[[str], None]) -> list[Line]:
    """Check the part of a proof that has to be computed: data, training, model, predictions, metrics.

    Args:
        claims: The content of the proof.
        step: The kept step to train on from; None for one at random.
        scratch: An empty folder.
        say: Prints a line while the audit goes on.
    """
    exact = claims.machine.cpu == cpu()
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
    # The bits of a training depend on the number of its threads, and not on the cores.
    use_threads(claims.model.spec.threads or claims.machine.cores)
    compared = "compared to the bit" if exact else f"compared within tolerances, this is {cpu()}"
    dataset = scratch / "dataset"
    lines = [Line("machine", exact or None, f"{claims.machine.cpu}: {compared}"), _data(claims, dataset)]
    if not lines[-1].holds:
        untried = ("training", "model", "predictions", "metrics")
        return [*lines, *(Line(what, False, "not tried, for the data differ") for what in untried)]
    return [*lines, *_training(claims, dataset, step, exact, scratch, say), *_results(claims, dataset, exact)]


def _data(claims: Claims, folder: Path) -> Line:
    """Read the source again."""
    config, name = claims.dataset, claims.model.dataset
    if fetch := load_source(config.source).fetch:
        fetch(config.options)
    info = ingest(name, json.dumps({"source": config.source, **config.options.model_dump(mode="json")}), str(folder))
    same = info.sha256 == claims.model.dataset_sha256
    found = "the same records" if same else f"other records, {info.sha256[:12]}…"
    return Line("data", same, f"{name} from {config.source}: {found}, SHA-256 {claims.model.dataset_sha256[:12]}…")


def _training(
    claims: Claims, dataset: Path, step: int | None, exact: bool, scratch: Path, say: Callable[[str], None]
) -> list[Line]:
    """Redo the steps after a checkpoint, and those that end with the model."""
    info = load_info(dataset)
    per_epoch = steps_per_epoch(info, "train", claims.model.spec.batch_size, WHOLE)
    spec, best, end = claims.model.spec, claims.model.best_epoch - 1, len(claims.model.history) * per_epoch
    expected = staying(drawn(spec.keep_checkpoints, claims.seed, spec.epochs * per_epoch), end, best, per_epoch)
    if set(claims.steps) != expected:
        found = f"kept steps {_listed(claims.steps)}, by the seed they are {_listed(sorted(expected))}"
        return [Line(what, False, found) for what in ("training", "model")]
    last = tail(best, per_epoch)
    others = [kept for kept in claims.steps if kept != last] or [last]
    chosen = secrets.choice(others) if step is None else step
    if step is None:
        say(f"of the kept steps {_listed(claims.steps)} chosen at random: {chosen}; --step {chosen} repeats it")
    redone: dict[int, Redone | str] = {}
    for each in dict.fromkeys([chosen, last]):
        say(f"training on from step {each}")
        redone[each] = _redone(claims, dataset, each, scratch / f"redone-{each}")
    return [
        _compare_training(claims, chosen, redone[chosen], exact),
        _compare_model(claims, info, dataset, redone[last], exact),
    ]


def _redone(claims: Claims, dataset: Path, step: int, folder: Path) -> Redone | str:
    """Steps that were redone, or why they couldn't be."""
    kept = claims.folder / CHECKPOINTS
    folder.mkdir()
    try:
        # The trainer tells its progress.
        with contextlib.redirect_stdout(io.StringIO()):
            return redo(claims.model, claims.seed, str(dataset), kept, step, folder)
    except Exception as error:  # a stranger's checkpoint may make TensorFlow or the trainer raise anything
        return printable((str(error).strip() or type(error).__name__).splitlines()[0][:300])


def _compare_training(claims: Claims, step: int, again: Redone | str, exact: bool) -> Line:
    if isinstance(again, str):
        return Line("training", False, f"step {step}: {again}")
    what = f"steps {step} to {again.until}"
    try:
        saved = arrays(claims.folder / CHECKPOINTS / str(step) / AFTER)
    except ValueError as error:
        return Line("training", False, f"{what}: {error}")
    if exact and (problem := _other_metrics(claims, again)):
        return Line("training", False, f"{what}: {problem}")
    holds, found = _compare_weights(list(saved.values()), again.weights, again.start, exact)
    return Line("training", holds, f"{what}: weights {found}")


def _other_metrics(claims: Claims, again: Redone) -> str:
    """What is wrong with the history, where steps were redone on the same kind of CPU; "" where nothing is."""
    same = again.history == metrics_of(claims.model.history[: len(again.history)])
    return "" if same else "other metrics of epochs than the model's history has"


def _compare_model(claims: Claims, info: DatasetInfo, dataset: Path, again: Redone | str, exact: bool) -> Line:
    if isinstance(again, str):
        return Line("model", False, again)
    epoch = f"epoch {claims.model.best_epoch}"
    try:
        model = exported_model(claims, info)
    except ValueError as error:
        return Line("model", False, str(error))
    if model.count_params() != claims.model.parameters:
        return Line("model", False, f"{model.count_params()} weights, expected {claims.model.parameters}")
    # The weights of any other epoch would be those that the checkpoint says, not those that were trained again.
    if again.best_epoch + 1 != claims.model.best_epoch:
        return Line("model", False, f"trained again, epoch {again.best_epoch + 1} is the best, expected {epoch}")
    if exact and (problem := _other_metrics(claims, again)):
        return Line("model", False, f"trained again to step {again.until}: {problem}")
    redone, temperature = finished(again.best, claims.model.spec, info, claims.seed, str(dataset))
    if exact and temperature != claims.model.temperature:
        return Line(
            "model", False, f"trained again it has {_said(temperature)}, expected {_said(claims.model.temperature)}"
        )
    holds, found = _compare_weights(model.get_weights(), redone.get_weights(), again.start, exact)
    return Line("model", holds, f"{KERAS_FILE}: weights of {epoch}, trained again, {found}")


def _results(claims: Claims, dataset: Path, exact: bool) -> list[Line]:
    """Predict the test split with the exported model, and measure."""
    info = load_info(dataset)
    try:
        model, saved = exported_model(claims, info), arrays(claims.folder / PREDICTIONS)
    except ValueError as error:
        return [Line(what, False, str(error)) for what in ("predictions", "metrics")]
    call = compiled(model, info)
    batches = input_pipeline.sequential_batches(dataset, info, "test", BATCH)
    answered = [(call(x).numpy(), y.numpy()) for x, y in batches]
    prediction, target = (np.concatenate(parts) for parts in zip(*answered, strict=True))
    theirs, targets = (saved.get(name, np.zeros(0)) for name in ("prediction", "target"))
    examples = f"{len(target):,} test examples"
    if (targets.dtype, targets.shape) != (target.dtype, target.shape) or not np.array_equal(targets, target):
        predictions = Line("predictions", False, f"other targets than the {examples} have")
    elif (theirs.dtype, theirs.shape) != (prediction.dtype, prediction.shape):
        found = f"{theirs.dtype} {list(theirs.shape)}, expected {prediction.dtype} {list(prediction.shape)}"
        predictions = Line("predictions", False, f"{examples}: {found}")
    else:
        worst = float(np.abs(prediction.astype(np.float64) - theirs).max())
        holds = worst == 0 if exact else worst <= OUTPUTS * float(np.abs(prediction).max())
        found = "to the bit" if worst == 0 else f"largest difference {worst:.2g}"
        predictions = Line("predictions", holds, f"{examples} predicted again, {found}")
    # Those of another CPU are within the tolerance, and their metrics have to be exact.
    return [predictions, _compare_metrics(claims, dataset, info, target, theirs if predictions.holds else prediction)]


def _compare_metrics(
    claims: Claims, dataset: Path, info: DatasetInfo, target: np.ndarray, prediction: np.ndarray
) -> Line:
    scale: metrics.Scale = math.nan
    places = None
    if isinstance(info, SeriesInfo):
        table = load_table(dataset, info)
        scale = table.scales(info, "test")
        places = table.places(info, "test", storage.load_times(dataset, info, "test")) if info.series else None
    measured = metrics.measure(info.task, target, prediction, scale)
    resampled = metrics.resampled(info.task, target, prediction, scale)
    intervals = bootstrap.intervals(resampled, len(target), claims.seed, info.block, places)
    ours = {name: [value, *intervals[name]] for name, value in measured.items()}
    theirs = {name: [value, *claims.entry.intervals.get(name, [])] for name, value in claims.entry.metrics.items()}
    wrong = [
        f"{name} is {_figures(ours.get(name, []))}, the leaderboard has {_figures(theirs.get(name, []))}"
        for name in sorted(ours.keys() | theirs.keys())
        if not _close(ours.get(name, []), theirs.get(name, []))
    ]
    same = ", ".join(f"{name} {figure(value)}" for name, value in measured.items())
    return Line("metrics", not wrong, "; ".join(wrong) or f"{same}, and their intervals")


def _close(ours: list[float], theirs: list[float]) -> bool:
    return len(ours) == len(theirs) and np.allclose(ours, theirs, rtol=ROUNDING, atol=0)


def _compare_weights(
    claimed: list[np.ndarray], redone: list[np.ndarray], start: list[np.ndarray], exact: bool
) -> tuple[bool, str]:
    """Whether weights are those that were redone, and their distance in words."""
    if [(weight.shape, weight.dtype) for weight in claimed] != [(weight.shape, weight.dtype) for weight in redone]:
        return False, "of another model"
    if all(one.tobytes() == other.tobytes() for one, other in zip(claimed, redone, strict=True)):
        return True, "to the bit"
    share = _distance(claimed, redone) / max(_distance(redone, start), 1e-30)
    allowed = "the same bits on this CPU" if exact else f"at most {WEIGHTS:.0%}"
    return not exact and share <= WEIGHTS, f"{share:.2g} of their way off, expected {allowed}"


def _said(temperature: Temperature | None) -> str:
    return printable(temperature.words()) if temperature else "no temperature"


def _distance(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    squares = sum(float(((a.astype(np.float64) - b) ** 2).sum()) for a, b in zip(one, other, strict=True))
    return float(np.sqrt(squares))


def _listed(steps: list[int]) -> str:
    return ", ".join(map(str, steps)) or "none"


def _figures(values: list[float]) -> str:
    return " ".join(f"{value:.6g}" for value in values) or "missing"
