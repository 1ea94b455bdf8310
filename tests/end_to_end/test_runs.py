"""Runs over time, of real ones: a better model, a failure, a killed run, and folders that were damaged afterwards."""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.slow
CONFIG = """\
seed: 1
formats: []
datasets:
  fashion: {source: fashion_mnist, use: 0.02, gate: none}
models:
  mlp: {family: mlp, dataset: fashion, epochs: 1, batch_size: 50, hyperparameters: {units: [16]}}
  small: {family: mlp, dataset: fashion, epochs: 1, batch_size: 50, hyperparameters: {units: [8]}}
"""
BETTER = ["--set", "models.mlp.epochs=8", "--set", "models.small=null"]


@pytest.fixture(scope="module")
def history(project):
    """The project after five runs: the first, a better one, one that failed, one that was killed, the first again."""
    project.config.write_text(CONFIG)
    home = project.folder / "runs" / "small"
    for arguments in ([], BETTER):
        code, output = project.run("run", project.config, *arguments)
        assert code == 0, output
    family = project.folder / "components/families/mlp.py"
    original = family.read_text()
    family.write_text(original + '\n\ndef build(info, hyperparameters):\n    raise ValueError("no such layer")\n')
    assert project.run("run", project.config)[0] == 1
    family.write_text(original)
    earlier = set(home.iterdir())
    # A time zone in which it is hours earlier: the order of the runs stays.
    project.environment["TZ"] = "America/St_Johns"
    process = project.start("run", project.config, "--set", "models.mlp.epochs=100000")
    project.until("epoch 2/", process, earlier)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    del project.environment["TZ"]
    code, output = project.run("run", project.config)
    assert code == 0, output
    return project


@pytest.fixture
def copied(history, tmp_path):
    """The runs in a folder of their own, and what the command line says of them."""
    shutil.copytree(history.folder / "runs", tmp_path / "runs", symlinks=True)
    environment = {**history.environment, "PYTHONPATH": str(history.folder), "PYTHONIOENCODING": "utf-8"}

    def ask(*arguments):
        done = history.server.run("runs", *arguments, env=environment, folder=tmp_path, errors_apart=False)
        assert "Traceback" not in done.stdout
        return done.returncode, done.stdout

    ask.runs = tmp_path / "runs"
    ask.environment = environment
    ask.names = sorted(path.name for path in (ask.runs / "small").glob("2*"))
    return ask


def test_the_list_says_states_changes_and_reads(copied):
    code, output = copied()
    assert code == 0, output
    states = re.findall(r"^20\d{6}-\d{6}a* +(?:[-\d]+ [\d:]+ +)?(\w+)", output, re.MULTILINE)
    assert states == ["finished", "finished", "failed", "stopped", "finished"]
    changed = output.split(copied.names[1])[1].split(copied.names[2])[0]
    assert "models.mlp.epochs: 1 → 8; models.small: removed" in " ".join(changed.split())
    assert "code of 1 file" in output.split(copied.names[2])[1].split(copied.names[3])[0]
    assert "fashion: this test split has been read 3 times by 3 models" in output
    assert copied("small") == (0, output)


def test_the_last_run_is_as_the_first(copied):
    code, output = copied("diff", copied.names[0], "small")
    assert code == 0, output
    assert output.count("the same predictions") == 2
    assert [line for line in output.splitlines() if line.endswith(" the same")] == [
        "config: the same", "data: the same", "code: the same"
    ]  # fmt: skip


def test_a_difference_is_that_of_the_paired_bootstrap(copied):
    """By scipy, which resamples the pairs as well."""
    from scipy.stats import bootstrap

    one, two = copied.names[:2]
    code, output = copied("diff", one, two)
    assert code == 0, output
    said = output.split("better by ")[1].split("\n")[0].split(" to ")
    right = []
    for name in (one, two):
        saved = np.load(copied.runs / "small" / name / "models/mlp/evaluation/predictions.npz")
        right.append(saved["prediction"].argmax(axis=1) == saved["target"])
    gained = right[1].astype(float) - right[0]
    interval = bootstrap((gained,), np.mean, method="percentile", rng=0).confidence_interval
    assert [float(end) for end in said] == pytest.approx(list(interval), abs=0.012)
    assert "models.small: removed" in output
    assert "only in A" in output
    reverse = copied("diff", two, one)[1]
    assert f"worse by {' to '.join(said)}" in reverse


def test_models_that_can_not_be_told_apart_and_other_test_data(copied):
    folder = copied.runs / "small" / copied.names[4] / "models/mlp/evaluation"
    saved = dict(np.load(folder / "predictions.npz"))

    def changed(**arrays):
        (folder / "predictions.npz").unlink()  # it shares its content with another run
        np.savez(folder / "predictions.npz", **{**saved, **arrays})
        return copied("diff", copied.names[0], "small")[1]

    assert "can't be told apart" in changed(prediction=saved["prediction"] / 2), "as right as before"
    assert "other test data" in changed(target=saved["target"][::-1])
    (folder / "predictions.npz").write_bytes(b"PK")
    code, output = copied("diff", copied.names[0], "small")
    assert (code, "can't be compared" in output) == (0, True)


def test_the_report_says_whether_a_run_beat_the_last(copied):
    first, better, _, _, last = ((copied.runs / "small" / name) for name in copied.names)
    said = copied("diff", copied.names[0], copied.names[1])[1].split("better by ")[1].split("\n")[0]
    page = (better / "report.html").read_text()
    assert f"<p>The best model, mlp, is better by {said} than mlp of the last run, {first.name}.</p>" in page
    assert "This test split has been read 3 times by 3 models." in page
    page = (last / "report.html").read_text()
    assert re.search(
        rf"The best model, mlp, is worse by [\d.]+ to [\d.]+ than mlp of the last run, {better.name}", page
    )
    history = page.split('<section id="history">')[1].split("</section>")[0]
    assert history.count("<circle") == 3, "runs that failed or were stopped have no figure"
    assert len(re.search(r'<polyline points="([^"]*)"', history)[1].split()) == 3
    assert page.index('href="#history"') < page.index('href="#run"')
    assert 'id="history"' not in (copied.runs / "small" / copied.names[2] / "report.html").read_text()


PYTHON = """
import sys
import pipeline
assert not {"tensorflow", "pandas", "numpy", "pydantic", "kfp"} & sys.modules.keys()
from pipeline import compare, load, run
last = load("small")
assert last._repr_html_().count("<tr") == 3
assert list(last.models) == ["mlp", "small"]
mlp = last.models["mlp"]
assert (mlp.predictions["prediction"] == mlp.predictions["target"]).mean() == mlp.entry.metrics["accuracy"]
assert last.leaderboard.set_index("model")["accuracy"]["mlp"] == mlp.entry.metrics["accuracy"]
assert list(mlp.history.index) == [1] and mlp.history["val_accuracy"][1] > 0
assert set(last.predictions["model"]) == set(last.history["model"]) == {"mlp", "small"}
assert mlp.load().count_params() == mlp.entry.parameters
better = run("configs/small.yaml", set={"models.mlp.epochs": 8, "models.small": None})
found = compare(last, better).iloc[0]
assert found["verdict"].startswith("better by") and 0 < found["low"] < found["now"] - found["before"] < found["high"]
print("as it should be")
from components.common.errors import InputError
for wrong in (lambda: load("smal"), lambda: run("configs/small.yaml", set={"models.mlp.epoch": 3})):
    try:
        wrong()
    except InputError as error:
        print(error)
run("configs/small.yaml", models=["small"], set=["models.small.hyperparameters.units=[4]", "models.small.epochs=1"])
"""


def test_python_gives_what_the_command_line_gives(history):
    """In the project itself, for it runs: from the cache, then a model of its own."""
    command = [sys.executable, "-c", PYTHON]
    options = {"cwd": history.folder, "env": history.environment, "capture_output": True, "text": True}
    done = subprocess.run(command, **options, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = done.stdout.split("as it should be\n")
    states = history.states(before)
    assert [task for task, state in states.items() if state != "cached"] == ["register"]
    assert "did you mean small?" in after
    assert "models.mlp: epoch: unknown key; did you mean 'epochs'?" in after
    assert history.states(after)["train-small"] == "done", "progress is printed"


def test_code_that_differs_is_named(copied):
    output = copied("diff", copied.names[1], copied.names[2])[1]
    assert "code:\n  components/families/mlp.py\n" in output


def test_show_says_why_a_run_failed_and_shows_a_leaderboard(copied):
    code, output = copied("show", copied.names[2])
    assert code == 0
    assert re.search("train-(mlp|small) failed: ValueError: no such layer", output)
    code, output = copied("show", "small/latest")
    assert "fashion, 200 test examples" in output
    assert re.search(r"this test split has been read \d times by", output)


def test_the_best_of_all_runs(copied):
    for arguments in ([], ["small"], ["--metric", "macro_f1"]):
        code, output = copied("best", *arguments)
        assert code == 0
        assert f"small/{copied.names[1]}  mlp" in output
    code, output = copied("best", "--metric", "acuracy")
    assert (code, output) == (2, "error: --metric acuracy: no such metric; did you mean accuracy?\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "smal"], "did you mean small"),
        (["show", "small/20260101-000000"], "did you mean small/2"),
        (["smal"], "did you mean small?"),
        (["diff", "small", "small/"], "no run 'small/'"),
        (["prune", "--keep", "1", "--older", "30"], "such as 12h, 30d or 4w"),
        (["prune"], "expected --keep 10"),
        (["prune", "--keep", "1"], "without a terminal, --yes removes them"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(copied, arguments, message):
    code, output = copied(*arguments)
    assert code == 2
    assert message in output.splitlines()[-1]
    assert output.count("error: ") == 1


def test_a_folder_that_is_no_run_and_one_that_was_damaged(copied):
    home = copied.runs / "small"
    (home / "20200101-000000").mkdir()
    code, output = copied("show", "small/20200101-000000")
    assert (code, len(output.splitlines())) == (2, 1)
    assert "not a run; expected run.json or leaderboard.json" in output
    code, output = copied()
    assert code == 0, "the others are listed"
    assert "20200101-000000: not a run" in output
    (home / copied.names[0] / "run.json").write_text("{")
    (home / copied.names[0] / "leaderboard.json").write_text('{"experiment": 1}')
    code, output = copied("show", copied.names[0])
    assert code == 0
    assert "run.json: isn't what a run wrote" in output
    assert "leaderboard.json: isn't a leaderboard that this version can read" in output


def test_runs_of_other_versions_are_read_with_a_line(copied):
    home = copied.runs / "small"
    (home / copied.names[0] / "run.json").unlink()
    path = home / copied.names[1] / "leaderboard.json"
    board = json.loads(path.read_text())
    del board["seed"]
    board["models"][0]["carbon"] = 3
    path.write_text(json.dumps(board))
    code, output = copied()
    assert code == 0
    assert f"{copied.names[0]}: an earlier version wrote it; its config and code aren't known" in output
    assert "another version wrote it; left out: carbon" in output
    assert "config: not known" in copied("diff", copied.names[0], copied.names[1])[1]


def test_the_pages_show_what_the_commands_print(copied, chromium):
    """The server and the browser are real, and so are the reports, with their style and script in a sandbox."""
    command = [sys.executable, "-m", "pipeline", "ui"]
    options = {"cwd": copied.runs.parent, "env": copied.environment, "text": True}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    with server, contextlib.ExitStack() as stack:
        stack.callback(server.kill)
        address, problems = server.stdout.readline().split()[0], []
        page = chromium.new_page(viewport={"width": 360, "height": 800})
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        page.get_by_role("link", name="small", exact=True).click()
        listed = page.locator("table").inner_text()
        for name in copied.names:
            page.goto(f"{address}runs/small/{name}")
            said = copied("show", name)[1].splitlines()
            assert said[0].split(": ")[1].split(",")[0] in page.locator("dl.facts").inner_text()
            for line in said:
                if line.startswith("against "):
                    assert line.split(": ", 1)[1] in page.locator("main").inner_text()
                if re.match(r"[\w-]+ failed: ", line):
                    assert line in page.locator(".failures").inner_text()
            assert page.evaluate("document.documentElement.scrollWidth") == 360
            if page.get_by_role("link", name="Report", exact=True).count():
                page.get_by_role("link", name="Report", exact=True).click()
                assert page.locator("#run svg").count() == 1
                assert page.evaluate("document.documentElement.scrollWidth") == 360
        said = copied("diff", *copied.names[:2])[1]
        page.goto(f"{address}diff?a=small/{copied.names[0]}&b=small/{copied.names[1]}")
        assert "better by " + said.split("better by ")[1].split("\n")[0] in page.locator("table").inner_text()
        best = re.findall(r"accuracy (0\.\d{4})", copied("small")[1])
        assert len(best) >= 3
        assert all(value in listed for value in best)
        page.close()
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 130
        assert server.stdout.read() == ""
    assert problems == []


def used(folder):
    return sum({s.st_ino: s.st_blocks * 512 for p in [folder, *folder.rglob("*")] if (s := p.lstat())}.values())


def test_prune_frees_what_it_says_and_keeps_what_others_use(history):
    """In the project itself, whose files have several names; the others see the disk that is left."""
    home = history.folder / "runs" / "small"
    assert history.run("run", history.config, "--set", "models.mlp.learning_rate=0.00001")[0] == 0
    assert history.run("run", history.config)[0] == 0
    names = sorted(path.name for path in home.glob("2*"))
    before = used(history.folder / "runs")
    (unfinished,) = home.glob(".work/outputs/checkpoints/mlp-*/")
    code, output = history.run("runs", "prune", "--keep", "1", "--yes")
    assert code == 0, output
    assert "small: unfinished training of mlp, last written 20" in output
    assert not unfinished.exists(), "the killed run's"
    for name in names[:2]:
        assert f"small/{name} stays: it is registered" in output
    assert {path.name for path in home.glob("2*")} == {*names[:2], names[-1]}
    amount, unit = output.split("removed ")[1].split(", ")[-1].split()
    measured = before - used(history.folder / "runs")
    assert float(amount) * {"kB": 1e3, "MB": 1e6}[unit] == pytest.approx(measured, rel=0.02)
    assert measured > 300_000, "the model's outputs went as well"
    output = history.run("run", history.config)[1]
    assert [task for task, state in history.states(output).items() if state != "cached"] == ["register"]
    assert not list(home.glob(".removed*"))


def test_what_prune_leaves_of_a_killed_run_is_gone_on_from(history):
    home = history.folder / "runs" / "small"
    more = ["run", history.config, "--set", "models.mlp.epochs=99999"]
    for text, end in (("epoch 2/", signal.SIGKILL), ("going on from the checkpoint", signal.SIGINT)):
        earlier = set(home.iterdir())
        process = history.start(*more)
        history.until(text, process, earlier)
        process.send_signal(end)
        process.communicate()
        (killed,) = set(home.iterdir()) - earlier
        code, output = history.run("runs", "prune", "--keep", "0", "--yes")
        assert code == 0, output
        assert re.search(rf"unfinished training of mlp, .* stays: small/{killed.name} would go on from it", output)
        assert f"small/{killed.name} stays: it left checkpoints that stay\n" in output
        assert killed.exists()
