"""The ledger of test reads, and what a worn split costs, by simulation."""

import multiprocessing

import numpy as np
import pytest

from components.artifacts.dataset import Check, ImagesInfo
from components.artifacts.evaluation import Evaluation, save_evaluation
from pipeline.runs import ledger


def evaluated(folder, predictions, labels=(0, 1, 1), name="mlp", **changes):
    """The folder of an evaluation, and that of its data set."""
    about = {"name": "images", "source": "test", "records": {"test": 3}, "sha256": "0", "mean": [0.0], "std": [1.0]}
    about |= {"checks": [Check(name="a", found="b")], "classes": ["a", "b"], "shape": [2, 2, 1], "label_counts": {}}
    for one in ("evaluation", "dataset"):
        (folder / one).mkdir(parents=True, exist_ok=True)
    ImagesInfo(**{**about, **changes}).save(folder / "dataset")
    evaluation = Evaluation(model=name, metrics={}, intervals={})
    save_evaluation(folder / "evaluation", evaluation, np.array(labels), np.asarray(predictions, np.float32))
    return folder / "evaluation", folder / "dataset"


def noted(tmp_path, *given, **options):
    run = tmp_path / "runs" / "small" / "20260101-000000"
    run.mkdir(parents=True, exist_ok=True)
    ledger.note(run, *evaluated(tmp_path / "made", *given, **options))
    return ledger.reads(tmp_path / "runs")


def test_reads_are_counted_and_the_same_predictions_are_one_model(tmp_path):
    noted(tmp_path, [0.1, 0.2, 0.3])
    noted(tmp_path, [0.1, 0.2, 0.3], name="another")
    found = noted(tmp_path, [0.1, 0.2, 0.4])
    assert ledger.models_of(found, found[0].split) == (3, 2)
    assert [(read.experiment, read.run, read.model) for read in found][:2] == [
        ("small", "20260101-000000", "mlp"), ("small", "20260101-000000", "another")
    ]  # fmt: skip


def test_a_split_is_its_examples_whatever_a_model_sees_of_them(tmp_path):
    first = noted(tmp_path, [0.1])[-1].split
    assert noted(tmp_path, [0.1], shape=[9, 9, 3], sha256="1", mean=[0.0] * 3, std=[1.0] * 3)[-1].split == first
    assert noted(tmp_path, [0.1], labels=(0, 1, 0))[-1].split != first
    assert noted(tmp_path, [0.1], classes=["cat", "dog"])[-1].split != first


def test_a_line_that_was_cut_off_costs_itself_alone(tmp_path):
    noted(tmp_path, [0.1])
    file = tmp_path / "runs" / ledger.FILE
    file.write_bytes(file.read_bytes() + b'{"time":"2026')
    assert len(noted(tmp_path, [0.2])) == 2
    assert file.read_bytes().count(b"\n") == 3


def test_runs_side_by_side_lose_no_line(tmp_path):
    context = multiprocessing.get_context("fork")
    noted(tmp_path, [0.1])
    made, run = tmp_path / "made", tmp_path / "runs" / "small" / "20260101-000000"

    def write():
        for _ in range(50):
            ledger.note(run, made / "evaluation", made / "dataset")

    processes = [context.Process(target=write) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(ledger.reads(tmp_path / "runs")) == 201


@pytest.mark.parametrize("models", [2, 9, ledger.WORN, 100])
def test_luck_is_the_expected_maximum_of_normal_numbers(models):
    drawn = np.random.default_rng(0).normal(size=(100_000, models)).max(axis=1).mean()
    assert ledger.luck(models) == pytest.approx(drawn, abs=0.04 if models == 2 else 0.015)


def test_a_worn_split_flatters_the_best_of_equal_models_by_what_is_said(tmp_path):
    """Models of accuracy 0.8 on 1,000 examples: the half of a 95 % interval is 0.0248."""
    for i in range(ledger.WORN):
        found = noted(tmp_path, [0.1 * i])
        said = ledger.wear(found, found[0].split, [0.7752, 0.8248])
        assert len(said) == 1 + (i + 1 >= ledger.WORN)
    assert said[0] == f"this test split has been read {ledger.WORN} times by {ledger.WORN} models"
    right = np.random.default_rng(0).binomial(1000, 0.8, size=(20_000, ledger.WORN)) / 1000
    flattery = right.max(axis=1).mean() - 0.8
    assert float(said[1].split("seem ")[1].split()[0]) == pytest.approx(flattery, rel=0.05)
    assert ledger.wear(found, "another", [0, 1]) == []
