"""A backtest: what each fold trains and tests on, and that it knows nothing of the rows after it."""

import csv
import json
import math
import pathlib
from datetime import datetime, timedelta

import numpy as np
import pytest
import yaml
from kfp import dsl
from sklearn.model_selection import TimeSeriesSplit
from small_experiment import assert_refused, changed, write

from components.artifacts.backtest import fold_key
from components.artifacts.baselines import load_baselines
from components.artifacts.dataset import load_info
from components.artifacts.evaluation import Evaluation
from components.common.errors import InputError
from components.common.spec import Backtest, SeriesOptions
from components.compare.backtest import backtest
from components.data.splits import folds, split_ends
from pipeline.commands.verify import load_seeds
from pipeline.experiment.experiment import load_experiment, select_models
from pipeline.graph.compile import compile_experiment
from pipeline.graph.tasks import tasks
from pipeline.runs.record import config_of

ROWS, FOLDS, LOOKBACK, HORIZON = 401, 3, 10, 4
START = datetime(2024, 1, 1)
CHANGED = 300  # the first row that a test changes


def value(i):
    return round(50 + 10 * math.sin(i * 2 * math.pi / 24) + 3 * math.cos(i * i) + i / 50, 4)


def experiment(folder, values, models=("mlp",), **options):
    """A checked experiment of one series with these values, and its folder."""
    folder.mkdir(exist_ok=True)
    lines = [f"{START + timedelta(hours=i)},{v}" for i, v in enumerate(values)]
    (folder / "series.csv").write_text("\n".join(["time,load", *lines]) + "\n")
    data = {"source": "csv", "path": "series.csv", "time": "time", "target": "load", "frequency": "h"}
    data |= {"lookback": LOOKBACK, "horizon": HORIZON, "backtest": {"folds": FOLDS}, "calendar": ["hour"], **options}
    model = {"family": "mlp", "dataset": "load", "epochs": 1, "hyperparameters": {"units": [4]}}
    content = {"seed": 3, "datasets": {"load": data}, "models": dict.fromkeys(models, model)}
    return load_experiment(write(folder, yaml.safe_load(yaml.safe_dump(content)), "tested.yaml"), [])


def made(checked, folder, steps=("ingest", "baseline"), fold=None):
    """Run some of an experiment's tasks as KFP calls them. Returns the folder of each output by the task's name."""
    outputs, found = {}, {}
    for task in tasks(checked):
        if task.step not in steps or fold not in (None, task.fold):
            continue
        written = {}
        for name, kind in task.component.component_spec.outputs.items():
            path = folder / task.name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            written[name] = getattr(dsl, kind.type.partition("@")[0].removeprefix("system."))(uri=str(path))
        given = {name: outputs[of.name][output] for name, (of, output) in task.inputs.items()}
        task.component.python_func(code_version="x", **task.arguments, **given, **written)
        outputs[task.name], found[task.name] = written, {name: a.path for name, a in written.items()}
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backtest")
    checked = experiment(folder, map(value, range(ROWS)))
    return checked, made(checked, folder)


def raw(folder_of_csv):
    with pathlib.Path(folder_of_csv).open(encoding="utf-8") as file:
        return np.array([float(row["load"]) for row in csv.DictReader(file)])


@pytest.mark.parametrize(("rows", "count", "use"), [(401, 3, 1.0), (17520, 4, 1.0), (17520, 4, 0.37), (999, 2, 1.0)])
def test_the_folds_are_those_of_scikit_learn(rows, count, use):
    options = SeriesOptions(lookback=10, horizon=4, use=use, backtest=Backtest(folds=count))
    train, before_test, end = split_ends(rows, options)
    judge = TimeSeriesSplit(n_splits=count, test_size=end - before_test).split(np.arange(before_test))
    found = [split_ends(rows, fold) for fold in folds(rows, options)]
    assert len(found) == count
    for (fitted, selected, tested), (training, test) in zip(found, judge, strict=True):
        assert np.array_equal(np.arange(selected), training)
        assert np.array_equal(np.arange(selected, tested), test)
        assert selected - fitted == before_test - train, "the validation split is as long as that of the whole"


def test_each_fold_has_its_rows_and_the_naive_error_of_the_raw_file(whole):
    checked, found = whole
    values = raw(checked.datasets["load"].options.path)
    test, validation = round(ROWS * 0.15), round(ROWS * 0.15)
    splits = list(TimeSeriesSplit(n_splits=FOLDS, test_size=test).split(values[: ROWS - test]))
    splits += [(np.arange(ROWS - test), np.arange(ROWS - test, ROWS))]
    names = [f"load-fold-{i}" for i in range(1, FOLDS + 1)] + ["load"]
    for name, (before, tested) in zip(names, splits, strict=True):
        info = load_info(found[f"ingest-{name}"]["dataset"])
        assert info.records == {"train": len(before) - validation, "validation": validation, "test": test}
        assert info.times["test"] == [(START + timedelta(hours=int(tested[i]))).isoformat() for i in (0, -1)]
        fitted = values[: info.records["train"]].astype(np.float32).astype(float)
        assert info.mean[0] == pytest.approx(fitted.mean(), rel=1e-9)
        assert info.std[0] == pytest.approx(fitted.std(), rel=1e-9)
        assert info.seasonal_error == pytest.approx(np.abs(fitted[24:] - fitted[:-24]).mean(), rel=1e-9)
        errors = [
            abs(values[tested[i + LOOKBACK - 1]] - values[tested[i + LOOKBACK + step]])
            for i in range(test - LOOKBACK - HORIZON + 1)
            for step in range(HORIZON)
        ]
        baselines = load_baselines(found[f"baseline-{name}"]["baselines"])
        assert baselines["last_value"]["mae"] == pytest.approx(np.mean(errors), rel=1e-6)


def test_rows_after_a_fold_change_none_of_its_figures(tmp_path):
    """The model's too: its inputs are scaled, its epoch is chosen and its errors are measured within the fold."""
    results = []
    for name, shift in (("before", 0), ("after", 1000)):
        checked = experiment(tmp_path / name, [value(i) + shift * (i >= CHANGED) for i in range(ROWS)])
        steps = ("ingest", "baseline", "train", "evaluate")
        # The last fold ends with the row 340, the one before it with 280.
        of_fold = {k: made(checked, tmp_path / name / str(k), steps, fold=k) for k in (2, 3)}
        results.append(
            {
                k: (
                    load_info(found[f"ingest-load-fold-{k}"]["dataset"]).model_dump(),
                    load_baselines(found[f"baseline-load-fold-{k}"]["baselines"]),
                    Evaluation.load(found[f"evaluate-mlp-fold-{k}"]["evaluation"]).metrics,
                )
                for k, found in of_fold.items()
            }
        )
    before, after = results
    assert before[2] == after[2]
    assert all(one != other for one, other in zip(before[3], after[3], strict=True)), "rows of the last fold changed"


def test_the_folds_are_tasks_side_by_side(whole, tmp_path):
    checked, _ = whole
    graph = {task.name: task for task in tasks(checked)}
    for k in range(1, FOLDS + 1):
        assert graph[f"train-mlp-fold-{k}"].needs == [f"ingest-load-fold-{k}"]
        assert graph[f"evaluate-mlp-fold-{k}"].needs == [f"ingest-load-fold-{k}", f"train-mlp-fold-{k}"]
        assert f"export-mlp-fold-{k}" not in graph
        assert {f"{step}-fold-{k}" for step in ("baseline-load", "evaluate-mlp")} < set(graph["compare"].needs)
    of_folds = {name for name in graph if "-fold-" in name}
    assert of_folds.isdisjoint(graph["register"].needs)
    path, _ = compile_experiment(checked, tmp_path)
    compiled = yaml.safe_load(path.read_text().split("\n---")[0])
    assert of_folds < compiled["root"]["dag"]["tasks"].keys()
    inputs = compiled["components"]["comp-compare"]["inputDefinitions"]["artifacts"]
    assert inputs["fold_evaluation_mlp_2"]["isOptional"]
    path, _ = compile_experiment(checked, tmp_path, "kubeflow")
    assert of_folds < yaml.safe_load(path.read_text().split("\n---")[0])["root"]["dag"]["tasks"].keys()


def test_the_whole_model_is_that_of_an_experiment_without_a_backtest(whole, tmp_path):
    """So a backtest that is added to a config trains nothing again."""
    checked, _ = whole
    plain = experiment(tmp_path, map(value, range(ROWS)), backtest=None)
    path = checked.datasets["load"].options.path
    without = {task.name: task for task in tasks(plain)}
    for task in tasks(checked):
        if task.name in without and task.step not in ("compare", "report"):
            given = {k: v.replace(path, plain.datasets["load"].options.path) if k == "spec" else v
                     for k, v in task.arguments.items()}  # fmt: skip
            assert given == without[task.name].arguments


def test_the_folds_of_a_searched_model_take_the_values_that_were_found(tmp_path):
    """The search isn't repeated, so the leaderboard warns of what it knew."""
    small = changed("datasets.demand", {"source": "electricity", "lookback": 96, "horizon": 48})
    small["datasets"]["demand"]["backtest"] = {"folds": 2}
    small["models"]["lstm"]["tune"] = {"trials": 2, "ranges": {"batch_size": {"values": [32, 64]}}}
    checked = select_models(load_experiment(write(tmp_path, small), []), ["lstm"])
    graph = {task.name: task for task in tasks(checked)}
    assert [name for name in graph if name.startswith("tune-")] == ["tune-lstm"]
    for k in (1, 2):
        source, output = graph[f"train-lstm-fold-{k}"].inputs["spec"]
        assert (source.name, output) == ("tune-lstm", "tuned")
    found = backtest("demand", ["lstm"], 0, {"lstm": "x"}, {}, {}, {})
    assert "lstm: the search (tune) knew rows after the folds" in found.warning
    assert not backtest("demand", ["lstm"], 0, {}, {}, {}, {}).warning


def test_the_figures_of_the_folds_and_their_spread(whole, tmp_path):
    _, found = whole
    keys = {k: fold_key("load", k) for k in range(1, FOLDS + 1)}
    datasets = {key: found[f"ingest-load-fold-{k}"]["dataset"] for k, key in keys.items()}
    baselines = {key: found[f"baseline-load-fold-{k}"]["baselines"] for k, key in keys.items()}
    evaluations = {}
    for k, mae in zip(keys, (4.0, 2.0, 3.0), strict=True):
        (tmp_path / str(k)).mkdir()
        content = {"model": "mlp", "metrics": {"mae": mae, "mase": mae / 2}, "intervals": {}}
        (tmp_path / str(k) / "evaluation.json").write_text(json.dumps(content))
        evaluations |= {fold_key("mlp", k): str(tmp_path / str(k)), fold_key("lost", k): None}
    board = backtest("load", ["mlp", "lost"], FOLDS, {}, datasets, baselines, evaluations)
    assert [fold.models for fold in board.folds] == [{"mlp": {"mae": mae, "mase": mae / 2}} for mae in (4.0, 2.0, 3.0)]
    spread = board.models["mlp"]["mae"]
    assert (spread.mean, spread.std) == (3.0, np.std([4, 2, 3], ddof=1))
    assert list(board.models) == ["mlp"], "a model that failed in a fold has no spread"
    naive = [load_baselines(path)["last_value"]["rmse"] for path in baselines.values()]
    assert board.baselines["last_value"]["rmse"].values == naive
    fold = board.folds[1]
    best = min(values["mae"] for values in fold.baselines.values())
    assert fold.skill("mlp", "mae") == pytest.approx((best - 2.0) / best)
    assert fold.skill("lost", "mae") is None
    datasets[keys[2]] = baselines[keys[2]] = None
    lost = backtest("load", ["lost"], FOLDS, {}, datasets, baselines, evaluations)
    assert (lost.folds[1].splits, lost.folds[1].baselines, lost.baselines) == ({}, {}, {})


@pytest.mark.parametrize(
    ("key", "given", "said"),
    [
        ("datasets.demand.backtest", {"folds": 1}, "datasets.demand: backtest.folds: 1: expected"),
        ("datasets.demand.backtest", {"fold": 3}, "datasets.demand: backtest.folds: missing"),
        ("datasets.demand.backtest", {"fold": 3}, "datasets.demand: backtest.fold: unknown key; did you mean 'folds'?"),
        ("datasets.fashion.backtest", {"folds": 3}, "datasets.fashion: backtest: is for a series"),
    ],
)
def test_a_backtest_that_is_none_is_refused(key, given, said, tmp_path):
    assert_refused(write(tmp_path, changed(key, given)), [said])


def test_more_folds_than_fit_are_refused_with_the_number_that_fits(tmp_path):
    data = {"source": "electricity", "lookback": 96, "horizon": 48, "use": 0.1}
    for count, said in ((4, None), (5, "5 folds of 263 test rows leave the first one 0 rows of 1,226")):
        small = changed("datasets.demand", {**data, "backtest": {"folds": count}})
        if said is None:
            load_experiment(write(tmp_path, small), [])
        else:
            assert_refused(write(tmp_path, small), [f"datasets.demand: backtest: {said}", "4 folds fit"])
    small = changed("datasets.demand", {**data, "test": 0.4, "backtest": {"folds": 2}})
    assert_refused(write(tmp_path, small), ["not even 2 folds fit, and more with a smaller share test"])


def test_a_rival_needs_the_rows_of_the_first_fold(tmp_path):
    with pytest.raises(InputError, match=r"datasets\.load: baselines: mstl: 300 training rows, expected at least 336"):
        experiment(tmp_path, map(value, range(1200)), baselines=["mstl"])
    experiment(tmp_path, map(value, range(1200)), baselines=["mstl"], backtest=None)


def test_what_verifies_claims_trains_no_fold(whole):
    checked, _ = whole
    config = pathlib.Path(checked.datasets["load"].options.path).parent / "tested.yaml"
    assert [each.datasets["load"].folds for each in load_seeds(config, [], 2, [])] == [0, 0]


def test_the_record_of_a_run_has_the_rivals(whole, tmp_path):
    checked, _ = whole
    plain = experiment(tmp_path, map(value, range(1200)), baselines=["mstl"], backtest=None)
    assert config_of(plain)["datasets"]["load"]["baselines"] == ["mstl"]
    assert "baselines" not in config_of(checked)["datasets"]["load"]


def test_names_that_would_be_those_of_a_fold_are_refused(tmp_path):
    small = changed("datasets.demand.backtest", {"folds": 2})
    long = "a" * 45
    small["models"] |= {name: small["models"]["lstm"] for name in ("lstm_fold_2", "lstm_fold_3", long)}
    message = assert_refused(
        write(tmp_path, small),
        [
            "models.lstm_fold_2: is the name of a fold of lstm; expected another one",
            f"models.{long}: 45 letters, expected at most 44 where there is a backtest",
        ],
    )
    assert "models.lstm_fold_3" not in message
