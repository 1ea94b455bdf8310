"""Comparison and registration, called as KFP calls them, on a slice of the real data."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kfp import dsl
from small_run import MODELS, NO_FOLDS, artifact, compared, gathered

from components.artifacts.export import Format
from components.artifacts.leaderboard import Leaderboard
from components.artifacts.registration import load_registered
from components.common.errors import InputError
from components.compare.component import compare
from components.register.component import register


def test_leaderboard_has_what_the_design_promises(results, tmp_path):
    _, board = compared(results, tmp_path, gates={"fashion": {"majority_class": 0.1}})
    assert board.datasets["fashion"].splits == {"train": 550, "validation": 50, "test": 100}
    assert set(board.datasets["electricity"].baselines) == {
        "last_value",
        "same_time_yesterday",
        "ridge",
        "ridge_known_future",
    }
    for model in board.models:
        assert model.rank == 1
        assert model.formats["saved_model"].path == "saved_model"
        assert model.train_seconds > 0
        assert model.examples_per_second > 0
        assert model.machine.cores > 0
    assert board.models[0].passed
    assert "below majority_class" in board.models[0].reasons[0]


def test_a_model_that_misses_its_gate_is_refused_and_not_registered(results, tmp_path):
    leaderboard, board = compared(results, tmp_path, gates={"fashion": {"linear": 0.99}, "electricity": {}})
    refused = next(m for m in board.models if m.model == "mlp")
    assert not refused.passed
    assert refused.reasons[0].startswith("fails")
    found, registry = registered(results, leaderboard, tmp_path)
    assert [(f.dataset, f.action) for f in found] == [("fashion", "refused"), ("electricity", "registered")]
    assert not (registry / "test" / "fashion").exists()
    shelf = registry / "test" / "electricity"
    assert (shelf / "current" / "saved_model").is_dir()
    assert (shelf / "current").readlink() == Path("1")
    found, _ = registered(results, leaderboard, tmp_path)
    assert found[1].sentence == "electricity: lstm is version 1 already"
    assert sorted(p.name for p in shelf.iterdir()) == ["1", "current"], "the same model is registered once"


def registered(results, leaderboard, folder):
    """What register gives for both data sets, and the registry."""
    said = artifact(dsl.Artifact, folder / "registration")
    given = gathered(results, "datasets", "evaluations", "exports")
    register.python_func(str(folder / "registry"), "", "x", "run", False, leaderboard, said, **given)
    return load_registered(Path(said.path)), folder / "registry"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda export: export.update(blessing=None), "nobody has tried to serve it"),
        (
            lambda export: export["blessing"].update(faults=["takes no image", "takes text"]),
            "takes no image, takes text",
        ),
        (lambda export: export["blessing"].update(saved_model_sha256="0" * 64), "isn't the one that was tried"),
    ],
)
def test_a_model_without_a_blessing_is_not_registered(change, reason, results, tmp_path):
    leaderboard, _ = compared(results, tmp_path, gates={"fashion": {}, "electricity": {}})
    folder = tmp_path / "export"
    shutil.copytree(results["export_mlp"].path, folder)
    content = json.loads((folder / "export.json").read_text())
    change(content)
    (folder / "export.json").write_text(json.dumps(content))
    found, registry = registered({**results, "export_mlp": artifact(dsl.Model, folder)}, leaderboard, tmp_path)
    assert found[0].action == "refused"
    assert found[0].sentence.startswith("fashion: mlp is not registered, ")
    assert reason in found[0].sentence
    assert [p.name for p in (registry / "test").iterdir() if p.is_dir()] == ["electricity"]


def test_a_refused_format_is_on_the_leaderboard_with_its_reason(results, tmp_path):
    folder = tmp_path / "export"
    shutil.copytree(results["export_mlp"].path, folder)
    content = json.loads((folder / "export.json").read_text())
    content["formats"]["onnx"] = {"refused": "differs from the model by 0.1"}
    (folder / "export.json").write_text(json.dumps(content))
    _, board = compared({**results, "export_mlp": artifact(dsl.Model, folder)}, tmp_path)
    formats = next(model.formats for model in board.models if model.model == "mlp")
    assert formats["onnx"] == Format(refused="differs from the model by 0.1")
    assert formats["saved_model"].agreement == 1.0


def test_a_failed_model_is_on_the_leaderboard_with_its_reason(results, tmp_path):
    finished = {k: v for k, v in results.items() if k not in ("model_lstm", "evaluation_lstm", "export_lstm")}
    _, board = compared(finished, tmp_path, failures={"train-lstm": "ValueError: boom"})
    failed = next(m for m in board.models if m.model == "lstm")
    assert failed.rank is None
    assert not failed.passed
    assert failed.reasons == ["train-lstm failed: ValueError: boom"]
    assert board.best("electricity") is None
    assert (failed.behind, failed.ties) == ([], [])


def rivals(results, folder, change, after=(), **models):
    """Compare models of one data set that are copies of a model but for their predictions.

    Args:
        results: Of the steps.
        folder: To write into.
        change: Gives a model's predictions, from the original's, the targets and its value in `models`.
        after: What is done to the folders of the last evaluations before they are compared.
        models: By name; None is a model that failed.
    """
    original = next(name for name, spec in MODELS.items() if spec["dataset"] == change.__name__)
    dataset, metric = MODELS[original]["dataset"], "accuracy" if original == "mlp" else "mae"
    given = {f"{kind}_{dataset}": results[f"{kind}_{dataset}"] for kind in ("dataset", "baseline")}
    for name, value in models.items():
        copy = folder / f"evaluate-{name}"
        shutil.copytree(results[f"evaluation_{original}"].path, copy)
        with np.load(copy / "predictions.npz") as saved:
            target, prediction = saved["target"], saved["prediction"].copy()
        if value is not None:
            prediction = change(prediction, target, value)
        np.savez(copy / "predictions.npz", target=target, prediction=prediction)
        content = json.loads((copy / "evaluation.json").read_text())
        right = (prediction.argmax(axis=1) == target) if metric == "accuracy" else np.abs(prediction - target)
        content["metrics"][metric] = float(right.mean())
        (copy / "evaluation.json").write_text(json.dumps(content))
        made = {"evaluation": artifact(dsl.Artifact, copy)}
        made |= {kind: results[f"{kind}_{original}"] for kind in ("model", "export")}
        given |= {f"{kind}_{name}": made[kind] if value is not None else None for kind in made}
    for damage, name in zip(after, list(models)[-len(after) :], strict=True) if after else ():
        damage(folder / f"evaluate-{name}")
    contest = {"experiment": "test", "seed": 1, "gates": {dataset: {}}}
    contest["models"] = {name: {"family": "mlp", "dataset": dataset, "tasks": [f"train-{name}"]} for name in models}
    board = artifact(dsl.Artifact, folder / "leaderboard")
    kinds = ("datasets", "baselines", "models", "evaluations", "exports")
    folders = gathered(given, *kinds, datasets=[dataset], models=models)
    failed = json.dumps({"train-lost": "ValueError: boom"})
    compare.python_func(json.dumps(contest), failed, "sha", "code", "run", board, **folders, searches={}, **NO_FOLDS)
    return Leaderboard.model_validate_json((Path(board.path) / "leaderboard.json").read_text())


def fashion(prediction, target, wrong):
    """Probabilities that are right but for the examples `wrong`."""
    found = np.eye(10, dtype=np.float32)[target]
    found[wrong] = np.eye(10, dtype=np.float32)[(target[wrong] + 1) % 10]
    return found


def electricity(prediction, target, share):
    """Forecasts with a share of the original's error."""
    return target + share * (prediction - target)


def test_classifiers_that_differ_by_chance_tie_and_others_do_not(results, tmp_path):
    first = list(range(20))
    board = rivals(
        results, tmp_path, fashion, bad=list(range(60)), other=[*range(10), *range(30, 42)], best=first, same=first,
        lost=None,
    )  # fmt: skip
    assert [m.model for m in board.models] == ["best", "same", "other", "bad", "lost"]
    best, same, other, bad, lost = board.models
    assert (best.ties, same.ties, other.ties, bad.ties) == (["same", "other"], ["best", "other"], ["best", "same"], [])
    assert board.datasets["fashion"].confidence_set == ["best", "same", "other"]
    assert (best.mcs_p_value, bad.mcs_p_value) == (1, 0)
    assert 0.3 < other.mcs_p_value < 1
    assert board.undecided("fashion") == "best can't be told apart from same or other (95 % model confidence set)"
    assert (best.behind, same.behind) == ([], [0, 0])
    low, high = other.behind
    assert low < 0 < 0.02 < high
    low, high = bad.behind
    assert 0.2 < low < 0.4 < high
    assert (lost.rank, lost.behind, lost.ties, lost.mcs_p_value) == (None, [], [], None)


def test_forecasters_that_differ_by_chance_tie_and_others_do_not(results, tmp_path):
    board = rivals(results, tmp_path, electricity, best=1.0, same=1.0, bad=1.5)
    best, _, bad = board.models
    assert [(m.model, m.ties) for m in board.models] == [("best", ["same"]), ("same", ["best"]), ("bad", [])]
    assert board.datasets["electricity"].confidence_set == ["best", "same"]
    low, high = bad.behind
    assert low < bad.metrics["mae"] - best.metrics["mae"] < high
    assert low > 0


def test_ties_are_the_same_for_both(results, tmp_path):
    """Each two of many models that are close to each other."""
    generator = np.random.default_rng(4)
    models = {f"m{i}": generator.choice(100, size=10 + 3 * i, replace=False).tolist() for i in range(8)}
    board = rivals(results, tmp_path, fashion, **models)
    ties = {m.model: m.ties for m in board.models}
    assert {len(found) for found in ties.values()} != {7}
    assert any(ties.values())
    for name, found in ties.items():
        assert name not in found
        assert all(name in ties[other] for other in found)


def test_the_set_has_the_models_that_a_pair_alone_would_leave_out(results, tmp_path):
    """Of 25 models that are equally good, some seem clearly worse than the luckiest."""
    generator = np.random.default_rng(8)
    models = {f"m{i}": np.flatnonzero(generator.random(100) < 0.3) for i in range(25)}
    board = rivals(results, tmp_path, fashion, **models)
    assert len(board.datasets["fashion"].confidence_set) >= 24
    assert len(board.models[0].ties) < 22


def test_a_model_alone_is_the_set(results, tmp_path):
    board = rivals(results, tmp_path, fashion, best=[1], lost=None)
    assert board.datasets["fashion"].confidence_set == ["best"]
    assert board.undecided("fashion") == ""


def test_models_of_other_test_examples_are_refused_by_name(results, tmp_path):
    def cut(folder):
        with np.load(folder / "predictions.npz") as saved:
            arrays = {name: values[:99] for name, values in saved.items()}
        np.savez(folder / "predictions.npz", **arrays)

    def relabelled(folder):
        with np.load(folder / "predictions.npz") as saved:
            np.savez(folder / "predictions.npz", target=saved["target"][::-1], prediction=saved["prediction"])

    with pytest.raises(InputError) as refused:
        rivals(results, tmp_path, fashion, after=[cut, relabelled], a=[1], b=[1, 2], c=[1, 2, 3])
    assert refused.value.problems == tuple(
        f"{tmp_path}/evaluate-{name}: other test examples than those of a; expected the same" for name in "bc"
    )


def test_comparing_does_not_import_tensorflow():
    code = (
        "import sys; import components.compare.compare; print([n for n in ('tensorflow', 'keras') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
