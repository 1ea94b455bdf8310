"""Runs where something is damaged, in the way, or full; as a user starts them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.local.reasons import remembered

pytestmark = pytest.mark.slow
ONLY_MLP = """\
seed: 1
formats: []
datasets:
  fashion: {source: fashion_mnist, use: 0.01}
models:
  mlp: {family: mlp, dataset: fashion, epochs: 1, batch_size: 50, hyperparameters: {units: [16]}}
"""


ALL = {"baseline-fashion", "train-mlp", "evaluate-mlp", "export-mlp", "compare", "report"}


@pytest.fixture(scope="module")
def small(project):
    """The project after a run of a small experiment."""
    project.config.write_text(ONLY_MLP)
    code, output = project.run("run", project.config)
    assert code == 0, output
    return project


def home(project):
    return project.folder / "runs" / "small"


def output_of(project, task, name):
    """A file of a task's output in the last run."""
    key = remembered(home(project) / ".work" / "tasks.json")[task].key()
    (path,) = home(project).glob(f".work/outputs/tasks/{task}-{key}/{name}")
    return path


def ran(output):
    """The tasks that ran, with their reasons; register runs every time."""
    rows = [line.split(maxsplit=4) for line in output.splitlines() if line.startswith(("done", "failed"))]
    return {row[1]: row[4].split(";")[0] for row in rows if row[1] != "register"}


def accuracy_of(project):
    return json.loads((home(project) / "latest/leaderboard.json").read_text())["models"][0]["metrics"]["accuracy"]


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit(path):
    path.write_text(path.read_text().replace('"accuracy": 0.', '"accuracy": 0.9'))


@pytest.mark.parametrize(
    ("damages", "more"),
    [
        ([("ingest-fashion", "dataset/fashion-test.tfrecord*", cut)], ALL),
        ([("train-mlp", "model/model.keras", Path.unlink)], {"evaluate-mlp", "export-mlp", "compare", "report"}),
        (
            [
                ("evaluate-mlp", "evaluation/evaluation.json", edit),
                ("export-mlp", "exported/saved_model/variables/variables.data*", flip),
            ],
            {"compare", "report"},
        ),
        ([("compare", "leaderboard/leaderboard.json", edit)], {"report"}),
    ],
    ids=lambda value: "-".join(task for task, *_ in value) if isinstance(value, list) else "",
)
def test_a_damaged_output_is_made_again_and_the_reason_names_it(small, damages, more):
    accuracy, reasons = accuracy_of(small), {}
    for task, name, damage in damages:
        path = output_of(small, task, name)
        how = "is gone" if damage == Path.unlink else "was changed"
        reasons[task] = f"its output {path.relative_to(path.parents[name.count('/')])} {how}"
        damage(path)
    code, output = small.run("run", small.config)
    assert code == 0, output
    again = ran(output)
    assert {task: again.pop(task) for task in reasons} == reasons
    # What follows runs where the new output isn't the old one to the byte.
    assert again.keys() <= more
    assert accuracy_of(small) == accuracy
    assert ran(small.run("run", small.config)[1]) == {}


def test_a_flipped_bit_of_the_same_time_is_found_where_digests_are_asked_for(small):
    path = output_of(small, "train-mlp", "model/model.keras")
    status = path.stat()
    flip(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert ran(small.run("run", small.config)[1]) == {}
    code, output = small.run("run", small.config, "--verify-cache")
    assert code == 0, output
    assert ran(output)["train-mlp"] == "its output model/model.keras was changed"


def test_what_is_published_takes_no_room_and_a_change_of_it_is_noticed(small):
    small.run("run", small.config)
    before = (home(small) / "latest/models/mlp/model.keras").resolve()
    content = before.read_bytes()
    small.run("run", small.config)
    changed = (home(small) / "latest/models/mlp/model.keras").resolve()
    assert changed.read_bytes() == content
    if not changed.samefile(before):
        pytest.skip("this file system has clones, which are their own")
    assert changed != before
    assert changed.stat().st_mode & 0o222 == 0, "nobody writes into it by mistake"
    changed.chmod(0o644)
    changed.write_bytes(b"changed")
    code, output = small.run("run", small.config)
    assert code == 0, output
    assert ran(output)["export-mlp"] == "its output exported/model.keras was changed"
    assert (home(small) / "latest/models/mlp/model.keras").read_bytes()[:2] == content[:2]
    assert ran(small.run("run", small.config)[1]) == {}


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_a_project_elsewhere_takes_its_own_outputs(small, how, tmp_path):
    before, elsewhere = small.folder, tmp_path / "else where"
    shutil.copytree(before, elsewhere, symlinks=True)
    small.folder, small.config = elsewhere, elsewhere / "configs" / "small.yaml"
    original = before.with_name("away")
    if how == "moved":
        before.rename(original)
    try:
        code, output = small.run("run", small.config)
        assert code == 0, output
        assert ran(output) == {}
        flip(output_of(small, "train-mlp", "model/model.keras"))
        assert ran(small.run("run", small.config)[1])["train-mlp"].endswith("was changed")
    finally:
        small.folder, small.config = before, before / "configs" / "small.yaml"
        if how == "moved":
            original.rename(before)
    assert ran(small.run("run", small.config)[1]) == {}


def another(path, kind):
    """Put something else in a path's place."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "dangling link":
        path.symlink_to("nowhere/at/all")
    else:
        path.write_text(kind)


@pytest.mark.parametrize(
    ("places", "lines", "again"),
    [
        ({"latest": "folder", ".lock": "folder", ".work/tasks.json": "folder", ".work/tmp": "text"}, 3, False),
        ({"latest": "text", ".lock": "dangling link", ".work/tasks.json": ""}, 3, False),
        ({"latest": "dangling link", ".work/tasks.json": '{"train-mlp": 3}'}, 1, False),
        ({".work": "text"}, 1, True),
        ({".work": "dangling link"}, 1, True),
    ],
)
def test_what_is_in_the_way_is_set_aside_with_a_line(small, places, lines, again, tmp_path):
    """But for a link `latest` that points nowhere, and what is in the place of temporary files: these just go."""
    kept = tmp_path / "kept"
    shutil.copytree(home(small), kept, symlinks=True)
    for name, kind in places.items():
        another(home(small) / name, kind)
    code, output = small.run("run", small.config)
    assert code == 0, output
    said = [line for line in output.splitlines() if "it is" in line and "damaged" in line]
    assert len(said) == lines, output
    silent = {("latest", "dangling link"), (".work/tmp", "text")}
    assert all(any(name in line for line in said) for name, kind in places.items() if (name, kind) not in silent)
    assert bool(ran(output)) is again
    assert (home(small) / "latest").resolve().parent == home(small).resolve()
    shutil.rmtree(home(small))
    shutil.copytree(kept, home(small), symlinks=True)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("runs", "text"),
        ("runs", "dangling link"),
        ("runs/small", "text"),
        ("build", "text"),
        ("build", "dangling link"),
        ("build/small.yaml", "folder"),
    ],
)
def test_a_place_that_cannot_be_used_is_a_line_and_exit_code_2(small, name, kind):
    path = small.folder / name
    kept = path.with_name("kept")
    path.rename(kept)
    another(path, kind)
    code, output = small.run("run", small.config)
    another(path, "folder")
    path.rmdir()
    kept.rename(path)
    assert code == 2, output
    assert len([line for line in output.splitlines() if not line.startswith("small: build")]) == 1, output
    assert f"error: {name}: " in output


def test_nothing_temporary_is_left_by_a_run_that_ends_and_by_one_that_is_killed(small, tmp_path):
    small.environment["TMPDIR"] = str(tmp_path)
    try:
        code, output = small.run("run", small.config, "--set", "seed=31")
        assert code == 0, output
        assert list(tmp_path.iterdir()) == []
        assert not (home(small) / ".work" / "tmp").exists()
        earlier = set(home(small).iterdir())
        process = small.start("run", small.config, "--set", "models.mlp.epochs=100000", "--set", "seed=32")
        small.until("epoch 2/", process, earlier)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert list((home(small) / ".work" / "tmp").iterdir())
        code, output = small.run("run", small.config)
        assert code == 0, output
        assert list(tmp_path.iterdir()) == []
        assert not (home(small) / ".work" / "tmp").exists()
        assert not [path for path in home(small).glob(".work/outputs/tasks/*") if not list(path.glob("manifest.json"))]
    finally:
        del small.environment["TMPDIR"]


def mounted(folder, options):
    folder.mkdir(exist_ok=True)
    return not subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_folders_that_nothing_can_be_started_from_will_do(small, tmp_path):
    """The temporary one, and the project's own; the packages are elsewhere."""
    if not mounted(tmp_path / "noexec", "noexec,size=100m"):
        pytest.skip("nothing can be mounted here")
    small.environment["TMPDIR"] = str(tmp_path / "noexec")
    subprocess.run(["mount", "--bind", small.folder, small.folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,noexec", small.folder], check=True)
        code, output = small.run_anew("run", small.config, "--set", "seed=41")
        assert code == 0, output
    finally:
        del small.environment["TMPDIR"]
        subprocess.run(["umount", small.folder], check=True)
        subprocess.run(["umount", tmp_path / "noexec"], check=True)


def test_an_empty_environment_and_another_locale_will_do(small):
    environment = {"TFDS_DATA_DIR": os.environ["TFDS_DATA_DIR"]}
    # The first run has everything to do, the second one an evaluation and what follows.
    for more in ({"LC_ALL": "en_US.ISO-8859-1", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {}):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "run", small.config, "--set", "seed=51"],
            cwd=small.folder,
            env={**environment, **more},
            capture_output=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        output_of(small, "evaluate-mlp", "evaluation/evaluation.json").unlink()


# Runs the command line in a process in which each write of a run's log, or each copy of a published file, finds the
# disk full.
FULL = """
import errno, os, sys
from pipeline import __main__
from pipeline.{room} import {module}
def full(*arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
{module}.{name} = full
sys.argv = ["keras-pipeline", *sys.argv[1:]]
__main__.main()
"""


@pytest.mark.parametrize(
    ("room", "module", "name"),
    [
        ("runs", "publish", "_share"),
        ("runs", "publish", "write_text"),
        ("local", "reasons", "write_text"),
        ("local", "cache", "write_text"),
    ],
)
def test_a_full_disk_where_the_run_itself_writes_is_a_line(small, room, module, name):
    before = (home(small) / "latest").resolve()
    output_of(small, "compare", "leaderboard/leaderboard.json").unlink()  # so that there is something to run
    process = subprocess.run(
        [sys.executable, "-c", FULL.format(room=room, module=module, name=name), "run", small.config],
        cwd=small.folder,
        env=small.environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1, process.stdout + process.stderr
    assert process.stderr == ""
    assert process.stdout.splitlines()[-1] == "runs/small: No space left on device; earlier results are as they were"
    assert (home(small) / "latest").resolve() == before
    assert not list(home(small).glob("*/.partial"))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
@pytest.mark.parametrize("task", ["train-mlp", "compare", "report", "register"])
def test_a_full_disk_that_a_task_writes_to_is_a_line(small, tmp_path, task):
    """What it reads is there, and nothing more can be written beside it."""
    folder = small.folder / "runs" / ("registry" if task == "register" else "small/.work/outputs/tasks")
    code, output = small.run("run", small.config)
    assert code == 0, output
    before, disk = (home(small) / "latest").resolve(), tmp_path / "disk"
    if not mounted(disk, "size=300m"):
        pytest.skip("nothing can be mounted here")
    left_out = shutil.ignore_patterns(f"{task}-*", "fashion")
    shutil.copytree(folder, disk, dirs_exist_ok=True, ignore=left_out)
    subprocess.run(["dd", "if=/dev/zero", f"of={disk}/.fill", "bs=1k"], stderr=subprocess.DEVNULL)
    subprocess.run(["mount", "--bind", disk, folder], check=True)
    try:
        code, output = small.run("run", small.config)
    finally:
        subprocess.run(["umount", folder], check=True)
        subprocess.run(["umount", disk], check=True)
    assert code == 1, output
    (said,) = [line for line in output.splitlines() if line.startswith(f"{task} failed")]
    assert "No space left on device" in said
    assert "Traceback" not in output
    assert (home(small) / "latest").resolve() == before


def test_ctrl_c_in_the_first_second_prints_no_traceback(small):
    for wait in (0.15, 0.3, 0.45, 0.6, 0.9):
        process = small.start("run", small.config)
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)[0]
        assert "Traceback" not in output, (wait, output)


def test_figures_are_those_of_bare_kfp_local(small, tmp_path):
    """The compiled file stays an ordinary KFP pipeline."""
    script = (
        "import sys\nfrom kfp import components, local\n"
        "local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[2])\n"
        "components.load_component_from_file(sys.argv[1])(registry=sys.argv[2] + '/registry')\n"
    )
    small.run("run", small.config)
    # kfp.local's commands take a shell through `python3`, whose path has to be a plain one.
    done = subprocess.run(
        [sys.executable, "-c", script, small.folder / "build" / "small.yaml", tmp_path],
        cwd=small.folder,
        env={**small.environment, "PYTHONPATH": str(small.folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (theirs,) = tmp_path.glob("*/compare/leaderboard/leaderboard.json")
    ours = home(small) / "latest" / "leaderboard.json"
    found = [json.loads(path.read_text())["models"] for path in (theirs, ours)]
    theirs, ours = ([(m["model"], m["metrics"], m["intervals"], m["parameters"]) for m in models] for models in found)
    assert theirs == ours
