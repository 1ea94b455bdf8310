"""What steps and page say where there is one of everything: a row seen, a step ahead, an epoch, a test example."""

import json
import re
from datetime import datetime, timedelta

import pytest
from small_run import NO_FOLDS

START = datetime(2024, 1, 1)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the steps print, and the page: its text, and what it says of its drawings."""
    import contextlib
    import io

    from components.baseline.baseline import measure
    from components.compare.compare import compare
    from components.evaluate.evaluate import evaluate
    from components.export.export import export
    from components.ingest.ingest import ingest
    from components.report.report import report
    from components.train.train import train

    folder = tmp_path_factory.mktemp("one")
    lines = ["time,load", *(f"{START + timedelta(hours=i)},{50 + i % 7}" for i in range(15))]
    (folder / "one.csv").write_text("\n".join(lines))
    data = {"source": "csv", "path": str(folder / "one.csv"), "time": "time", "target": "load", "frequency": "h"}
    spec = {"family": "mlp", "dataset": "sales", "epochs": 1, "hyperparameters": {"units": []}}
    at = {name: str(folder / name) for name in ("data", "base", "run/train/model", "evaluation", "export", "board")}
    dataset, baselines, model, evaluation, exported, board = at.values()
    (folder / "board").mkdir()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        ingest("sales", json.dumps({**data, "lookback": 1, "horizon": 1}), dataset)
        measure(dataset, baselines)
        train("only", json.dumps(spec), 1, "x", dataset, model, str(folder / "checkpoints"))
        evaluate(model, dataset, 1, evaluation)
        export(model, dataset, exported)
        contest = {"experiment": "one", "seed": 1, "gates": {"sales": {}}}
        contest["models"] = {"only": {"family": "mlp", "dataset": "sales", "tasks": []}}
        folders = {"sales": dataset}, {"sales": baselines}, {"only": model}, {"only": evaluation}, {"only": exported}
        compare(json.dumps(contest), "{}", "sha", "code", "run", *folders, searches={}, **NO_FOLDS, folder=board)
    about = {"experiment": "one", "command": "run", "seed": 1, "code_version": "c", "tasks": {"report": []}}
    failures = {"train-x": "ValueError: no"}
    page = folder / "report.html"
    inputs = folders[0], *folders[2:]
    report(json.dumps(about), json.dumps(failures), "sha", *inputs, leaderboard=board, searches={}, path=str(page))
    html = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", page.read_text(), flags=re.DOTALL)
    labels = re.findall(r'aria-label="(.*?)"', html)
    text = " ".join(re.sub(r"<(?!/?(wbr|abbr|b|small))[^>]*>", " | ", html).replace("<wbr>", "").split())
    return printed.getvalue(), text, labels


def test_one_is_never_a_plural(told):
    for text in (told[0], told[1], *told[2]):
        # "2024-01-01 00:00", "0.1 s" and "no. 1 on" are no counts of one.
        assert not re.findall(r"(?<![\d.,:-])(?<!no\. )1 (?:[a-z]+ )?[a-z]+s\b", text)


def test_sentences_about_one(told):
    printed, text, labels = told
    assert "1 step of 128 per epoch" in printed
    for sentence in (
        "A row every hour. From 1 row of load, the next value of load.",
        "only, of the family mlp, forecasts load.",
        "1 test example",
        "It was tested on 1 example: its figures say little.",
        "1 task failed",
        "the only forecast",
        "epoch 1 of 1 kept",
        " for a training: another number or kind may change the last digits",
    ):
        assert sentence in text, sentence
    assert any(label.startswith("only: loss over 1 epoch, ") for label in labels)
    # An average over one hour, one step or one of ten says nothing.
    for sentence in (
        "It errs most between",
        "at each step of the horizon",
        "nine of ten",
        "every h.",
        "0.5000 to 0.5000",
    ):
        assert sentence not in text
    assert "mae in" not in text, "without a unit"


def test_the_interval_of_one_example_is_none(told):
    assert not re.search(r"(\d+\.\d{4}) to \1", told[1])
    assert "no interval" in told[1]
