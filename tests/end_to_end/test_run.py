"""The whole pipeline through the compiled YAML, in the order that a user would do it."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import h5py
import pytest
from processes import alive

pytestmark = pytest.mark.slow


def until(condition, what):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def executed(project, output):
    """What ran, and wasn't cached. Register looks at the registry in every run."""
    return {task for task, state in project.states(output).items() if state == "done"}


def board(project):
    return json.loads((project.folder / "runs/small/latest/leaderboard.json").read_text())


@pytest.fixture(scope="module")
def first(project):
    """What the first run of the project printed."""
    code, output = project.run_anew("run", project.config)
    assert code == 0, output
    return output


def test_a_run_leaves_the_results_that_the_design_promises(project, first):
    run = project.folder / "runs/small/latest"
    result = board(project)
    assert result["run"] == run.resolve().name
    assert {m["model"]: m["rank"] for m in result["models"]} == {"mlp": 1, "lstm": 1}
    import hashlib

    compiled = (project.folder / "build/small.yaml").read_bytes()
    assert result["pipeline_sha256"] == hashlib.sha256(compiled).hexdigest()
    assert (run / "pipeline.yaml").read_bytes() == compiled
    page = (run / "report.html").read_text()
    assert f"<strong>{run.resolve().name}</strong>" in page
    assert page.count('class="node done"') == 13
    assert "first time" in page
    for model in result["models"]:
        for made in model["formats"].values():
            assert (run / made["path"]).exists()
        assert (run / f"logs/train-{model['model']}.log").read_text()
        assert list((run / "tensorboard" / model["model"]).rglob("events.*"))
    assert (project.folder / "runs/registry/small/fashion/current/model.keras").is_file()
    assert set(project.states(first).values()) == {"done"}
    assert len(first.splitlines()) < 60
    assert "KFP Executor" not in first


def test_an_unchanged_rerun_executes_nothing(project, first):
    before = board(project)
    code, output = project.run("run", project.config)
    assert code == 0
    assert executed(project, output) == {"register"}
    after = board(project)
    assert after["models"] == before["models"]
    assert after["run"] != before["run"]
    page = (project.folder / "runs/small/latest/report.html").read_text()
    assert f"<strong>{after['run']}</strong>" in page
    assert page.count('class="node cached"') == 12
    assert "nothing it depends on changed" in page
    assert len(output.splitlines()) < 60


def kept(project):
    """What a verification leaves alone: the last run, the registry, the compiled file."""
    registry = project.folder / "runs/registry"
    return (
        (project.folder / "runs/small/latest").resolve(),
        {path: path.readlink() for path in registry.rglob("current")},
        (project.folder / "build/small.yaml").read_bytes(),
    )


def verified(project):
    return json.loads((project.folder / "runs/small/verify.json").read_text())


def test_claims_that_hold_are_verified_from_the_cache(project, first):
    before = kept(project)
    code, output = project.run("verify", project.config)
    assert code == 0, output
    assert set(project.states(output).values()) == {"cached"}
    assert re.search(r"mlp +accuracy +0\.6 ± 0\.25 +0\.\d{4} +holds", output)
    assert "1 of 1 claims hold, seed 1\nresults: runs/small/verify.json" in output
    found = verified(project)
    mlp = next(m for m in board(project)["models"] if m["model"] == "mlp")
    assert found["models"]["mlp"]["accuracy"]["values"] == [mlp["metrics"]["accuracy"]]
    assert (project.folder / "runs/small" / found["runs"][0] / "leaderboard.json").is_file()
    assert kept(project) == before


def test_several_seeds_give_mean_and_spread_and_a_claim_that_fails_exit_code_3(project, first):
    before = kept(project)
    claim = "models.mlp.expect.loss={value: 0.01, within: 0.01}"
    code, output = project.run("verify", project.config, "--seeds", "2", "--model", "mlp", "--set", claim)
    assert code == 3, output
    assert re.search(r"mlp +loss +0\.01 ± 0\.01( +\d\.\d{4}){4} +fails, worse than claimed", output)
    assert "1 of 2 claims hold, seeds 1 to 2" in output
    assert not [task for task in project.states(output) if "electricity" in task or "lstm" in task]
    found = verified(project)
    assert [(claim["metric"], claim["holds"]) for claim in found["claims"]] == [("accuracy", True), ("loss", False)]
    spread = found["models"]["mlp"]["loss"]
    assert found["seeds"] == [1, 2]
    assert spread["mean"] == pytest.approx(sum(spread["values"]) / 2)
    assert spread["std"] == pytest.approx(abs(spread["values"][0] - spread["values"][1]) / 2**0.5)
    assert spread["std"] > 0, "another seed"
    runs = [project.folder / "runs/small" / run / "leaderboard.json" for run in found["runs"]]
    assert [json.loads(run.read_text())["models"][0]["metrics"]["loss"] for run in runs] == spread["values"]
    assert kept(project) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "mpl"], "did you mean 'mlp'?"),
        (["--set", "models.mlp.expect.acuracy={value: 1, within: 1}"], "did you mean 'accuracy'?"),
    ],
)
def test_what_cannot_be_verified_is_one_line_and_exit_code_2(project, first, arguments, message):
    before = sorted((project.folder / "runs/small").iterdir())
    code, output = project.run("verify", project.config, *arguments)
    assert code == 2
    assert message in output
    assert len(output.splitlines()) == 1
    assert sorted((project.folder / "runs/small").iterdir()) == before


def test_a_changed_model_runs_its_own_tasks_and_says_why(project, first):
    code, output = project.run("run", project.config, "--set", "models.mlp.learning_rate=0.002")
    assert code == 0
    states = project.states(output)
    ran = {task for task, state in states.items() if state == "done"}
    assert ran == {"train-mlp", "evaluate-mlp", "export-mlp", "compare", "register", "report"}
    logs = project.folder / "runs/small/latest/logs"
    assert {path.stem for path in logs.iterdir()} == ran
    assert re.search(r"train-mlp .* learning_rate: default → 0.002; best epoch ", output)
    assert re.search(r"export-mlp .* after train-mlp\n", output)


def test_changed_code_of_a_step_runs_that_step_and_what_follows(project, first):
    work = project.folder / "components/evaluate/evaluate.py"
    original = work.read_text()
    work.write_text(original + "\nCHANGED = True\n")
    code, output = project.run("run", project.config)
    work.write_text(original)
    assert code == 0
    ran = {task for task, state in project.states(output).items() if state == "done"}
    assert ran == {"evaluate-mlp", "evaluate-lstm", "compare", "register", "report"}
    assert len(re.findall(r"done +evaluate-\w+ .* its code changed: components/evaluate/evaluate.py\n", output)) == 2


def test_a_new_family_is_one_new_file(project, first):
    """It has a layer of its own, which later steps and Python know by the file."""
    family = project.folder / "components/families/softmax.py"
    family.write_text(
        '"""Softmax regression."""\n'
        "import keras\n\n"
        "from components.common.spec import Strict\n"
        "from components.models import layers\n\n"
        'TASKS = ("classification",)\n\n\n'
        "class Hyperparameters(Strict):\n"
        "    dropout: float = 0.0\n\n\n"
        "@keras.saving.register_keras_serializable()\n"
        "class Half(keras.layers.Layer):\n"
        "    def call(self, x):\n"
        "        return x / 2\n\n\n"
        "def build(info, hyperparameters):\n"
        "    inputs = layers.scaled_inputs(info)\n"
        "    features = Half()(keras.layers.Flatten()(inputs.x))\n"
        "    return layers.finish(inputs, features, info, dropout=hyperparameters.dropout)\n"
    )
    config = project.folder / "configs/own.yaml"
    config.write_text(
        "formats: [litert, onnx]\ndatasets:\n  fashion: {source: fashion_mnist, use: 0.01}\n"
        "models:\n  mine: {family: softmax, dataset: fashion, epochs: 1, hyperparameters: {dropout: 0.1}}\n"
    )
    code, output = project.run("run", config)
    assert code == 0, output
    result = json.loads((project.folder / "runs/own/latest/leaderboard.json").read_text())
    assert result["models"][0]["parameters"] == 7850
    assert {"litert", "onnx", "saved_model"} <= result["models"][0]["formats"].keys()
    script = "import pipeline; print(pipeline.load('own').models['mine'].load().layers)"
    said = subprocess.check_output(
        [sys.executable, "-c", script], cwd=project.folder, env=project.environment, text=True
    )
    assert "<Half name=" in said
    code, output = project.run("compile", config, "--set", "models.mine.hyperparameters.drop=1")
    assert code == 2
    assert "did you mean 'dropout'?" in output


def broken_family(project):
    (project.folder / "components/families/broken.py").write_text(
        '"""A family that fails."""\n'
        "from components.common.spec import Strict\n\n"
        'TASKS = ("classification",)\n\n\n'
        "class Hyperparameters(Strict):\n"
        "    pass\n\n\n"
        "def build(info, hyperparameters):\n"
        '    raise ValueError("no such layer")\n'
    )
    config = project.folder / "configs/broken.yaml"
    config.write_text(
        "formats: []\ndatasets:\n  fashion: {source: fashion_mnist, use: 0.01}\n"
        "models:\n"
        "  bad: {family: broken, dataset: fashion}\n"
        "  good: {family: mlp, dataset: fashion, epochs: 1, hyperparameters: {units: [8]}}\n"
    )
    return config


def test_a_failed_task_is_explained_and_its_log_named(project, first):
    code, output = project.run("run", broken_family(project))
    assert code == 1
    assert "train-bad failed: ValueError: no such layer" in output
    log = output.split("the whole log: ")[1].splitlines()[0]
    assert "no such layer" in (project.folder / log).read_text()
    assert not (project.folder / "runs/broken/latest").exists()
    assert len(output.splitlines()) < 60
    page = project.folder / output.split("report: ")[1].splitlines()[0]
    assert {path.name for path in page.parent.iterdir()} == {"logs", "report.html", "run.json"}, (
        "nothing else is published"
    )
    text = page.read_text()
    assert "<code>ValueError: no such layer</code>" in text
    assert re.search(r"train-bad: failed, [\d.]+ s, ValueError: no such layer", text)
    assert "train-bad failed: ValueError: no such layer" in text, "on the leaderboard too"
    assert 'id="data-fashion"' in text
    assert not (project.folder / "runs/registry/broken").exists()


def test_a_failed_run_leaves_the_results_of_the_one_before(project, first):
    latest = project.folder / "runs/small/latest"
    before = latest.resolve()
    family = project.folder / "components/families/mlp.py"
    original = family.read_text()
    family.write_text(original + '\n\ndef build(info, hyperparameters):\n    raise ValueError("no <b>layer</b>")\n')
    code, output = project.run("run", project.config)
    family.write_text(original)
    assert code == 1, output
    assert latest.resolve() == before
    text = (project.folder / output.split("report: ")[1].splitlines()[0]).read_text()
    assert "ValueError: no &lt;b&gt;layer&lt;/b&gt;" in text


def test_a_failure_of_compare_is_reported_without_a_leaderboard(project, first):
    """Of a verification, which leaves the one before."""
    earlier = project.folder / "runs/small/verify.json"
    earlier.write_text("earlier")
    work = project.folder / "components/compare/compare.py"
    original = work.read_text()
    work.write_text(
        original.replace("def compare(\n", "def compare(*_, **__):\n    raise ValueError('lost')\n\n\ndef _(\n")
    )
    code, output = project.run("verify", project.config)
    work.write_text(original)
    assert code == 1, output
    assert "compare failed: ValueError: lost" in output
    assert earlier.read_text() == "earlier"
    text = (project.folder / output.split("report: ")[1].splitlines()[0]).read_text()
    assert "ValueError: lost" in text
    assert 'id="model-mlp"' in text
    assert 'id="leaderboard"' not in text


def test_the_report_command_names_the_page_of_the_last_run(project, first):
    code, output = project.run("report", project.config)
    assert (code, output) == (0, "runs/small/latest/report.html\n")
    code, output = project.run("report", "configs/nothing.yaml")
    assert (code, len(output.splitlines())) == (2, 1)
    assert "expected a finished run" in output


def test_with_keep_going_the_other_models_are_finished(project, first):
    code, output = project.run("run", broken_family(project), "--keep-going")
    assert code == 1, output
    result = json.loads((project.folder / "runs/broken/latest/leaderboard.json").read_text())
    models = {m["model"]: m for m in result["models"]}
    assert models["good"]["rank"] == 1
    assert models["bad"]["rank"] is None
    assert models["bad"]["reasons"] == ["train-bad failed: ValueError: no such layer"]
    text = (project.folder / "runs/broken/latest/report.html").read_text()
    assert 'id="model-good"' in text
    assert text.count('class="node skipped"') == 2
    assert "<code>ValueError: no such layer</code>" in text


def test_weights_and_figures_are_the_same_however_many_tasks_run_at_a_time(project):
    """Of a CNN, whose weights depend on the number of threads."""
    config, found = project.folder / "configs/side.yaml", []
    config.write_text(
        "formats: []\ndatasets:\n  fashion: {source: fashion_mnist, use: 0.01}\nmodels:\n"
        "  cnn: {family: cnn, dataset: fashion, epochs: 2, threads: 1, hyperparameters: {layers: [{conv: 4}, pool]}}\n"
        "  mlp: {family: mlp, dataset: fashion, epochs: 2, threads: 1, hyperparameters: {units: [8]}}\n"
    )
    for jobs in ("1", "3"):
        code, output = project.run("run", config, "--jobs", jobs)
        assert code == 0, output
        run = project.folder / "runs/side/latest"
        models = json.loads((run / "leaderboard.json").read_text())["models"]
        figures = [(model["model"], model["metrics"], model["intervals"]) for model in models]
        found.append((figures, [weights_of(run / "models" / name / "model.keras") for name in ("cnn", "mlp")]))
        shutil.rmtree(project.folder / "runs/side")
    assert found[0] == found[1]


def weights_of(path):
    """The bytes of a .keras file's weights; the file itself holds its time."""
    with zipfile.ZipFile(path) as file, h5py.File(io.BytesIO(file.read("model.weights.h5"))) as weights:
        arrays = {}
        weights.visititems(
            lambda name, item: arrays.update({name: item[()].tobytes()} if hasattr(item, "dtype") else {})
        )
    assert sum(map(len, arrays.values())) > 1000
    return arrays


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_when_it_is_stopped_everything_has_ended_soon_and_it_can_go_on(project, first, number, code):
    logs = project.folder / "runs/small"
    before, earlier = (logs / "latest").resolve(), set(logs.iterdir())
    longer = ["run", project.config, "--set", "models.mlp.epochs=100000", "--set", f"seed={number + 100}"]
    process = project.start(*longer, start_new_session=True)
    project.until("epoch 2/", process, earlier)
    process.send_signal(number)
    output = process.communicate(timeout=10)[0]
    assert process.returncode == code
    if code > 0:
        assert output.endswith("stopped: all tasks have ended; a new start goes on from the last checkpoint\n")
    until(lambda: not alive(str(process.pid)), "an orphan goes on")
    assert (project.folder / "runs/small/latest").resolve() == before, "latest shows whole runs alone"
    assert list((project.folder / "runs/small/.work").rglob("checkpoints/mlp-*"))


def test_a_second_run_of_the_same_experiment_is_refused(project, first):
    import fcntl

    with (project.folder / "runs/small/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, output = project.run("run", project.config)
    assert code == 2, output
    assert "under way" in output


def test_a_killed_task_fails_cleanly(project, first):
    logs = project.folder / "runs/small"
    earlier = set(logs.iterdir())
    changed = ["--set", "models.mlp.epochs=100000", "--set", "seed=77", "--jobs", "1"]
    process = project.start("run", project.config, *changed, start_new_session=True)
    project.until("epoch 2/", process, earlier)
    servers = subprocess.run(
        ["pgrep", "-s", str(process.pid), "-f", "pipeline.local.server"], capture_output=True, text=True, check=True
    ).stdout.split()
    # The server, and forked last, the task.
    os.kill(max(map(int, servers)), signal.SIGKILL)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1, output
    assert "train-mlp failed: it was ended by SIGKILL, as the kernel does when memory runs out" in output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("models.mlp.epoch=3", "did you mean 'epochs'?"),
        ("models.mlp.family=nlp", "unknown family 'nlp'"),
        ("datasets.electricity.horizon=4000", "are longer than the validation split"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(project, first, change, message):
    before = sorted(Path(project.folder / "runs/small").iterdir())
    code, output = project.run("run", project.config, "--set", change)
    assert code == 2
    assert message in output
    assert len(output.splitlines()) == 1
    assert sorted(Path(project.folder / "runs/small").iterdir()) == before


def test_quantized_models_are_on_the_leaderboard_and_the_page(project, first):
    code, output = project.run("run", project.config, "--set", "formats=[litert_int8]")
    ran = {task for task, state in project.states(output).items() if state == "done"}
    assert {"export-mlp", "export-lstm", "compare", "report"} <= ran
    run = project.folder / "runs/small/latest"
    page = (run / "report.html").read_text()
    for model in board(project)["models"]:
        made = model["formats"]["litert_int8"]
        assert made["quality"]["metric"] == ("accuracy" if model["model"] == "mlp" else "mae")
        assert (run / made["path"]).is_file() if made["path"] else "allowed is" in made["refused"]
        assert f"{made['quality']['quantized']:.4f}, the model" in page
    refused = [model for model in board(project)["models"] if model["formats"]["litert_int8"]["refused"]]
    assert (code, output.count("was not exported to litert_int8")) == (int(bool(refused)), len(refused))
