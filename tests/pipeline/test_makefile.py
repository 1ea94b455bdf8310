import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

from components.models.fresh.process import start

ROOT = Path(__file__).parent.parent.parent
# It says what it is called with, an argument a line.
PYTHON = '#!/bin/sh\nprintf "%s\\n" "$@"\n'


@pytest.fixture
def project(tmp_path):
    """The Makefile in a folder of its own, with a Python that only says what it is asked for."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements-dev.lock", "requirements-tools.lock", ".venv/.ready", ".venv/bin/python"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(PYTHON, encoding="utf-8")
    (tmp_path / ".venv" / "bin" / "python").chmod(0o755)
    for name in ("build/small.yaml", "runs/registry/small/version", "data/tfds/x"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    return tmp_path


def make(folder, *arguments, **options):
    # As at a prompt: what pytest was started with is another make's.
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False, **options
    )


@pytest.mark.parametrize("command", ["compile", "run-local", "run-containers", "verify", "submit", "bench", "torture"])
def test_what_a_command_is_asked_for_reaches_it(command):
    printed = make(ROOT, "-n", command, "ARGS=--set seed=3").stdout
    assert printed.splitlines()[-1].endswith(" --set seed=3")


@pytest.mark.parametrize("command", ["compile", "run-local", "run-containers", "verify", "report", "submit"])
@pytest.mark.parametrize("config", ["a folder/x.yaml", 'it\'s "x"; touch gone #/x.yaml'])
def test_a_config_in_any_folder_reaches_the_command(project, command, config):
    made = make(project, command, f"CONFIG={config}")
    assert made.returncode == 0, made.stderr
    assert config in made.stdout.splitlines()
    assert not (project / "gone").exists()


def test_tensorboard_is_shown_the_run_of_the_config(project):
    said = make(project, "tensorboard", "CONFIG=a folder/x.yaml").stdout.splitlines()
    assert said[-2:] == ["--logdir", "runs/x/latest/tensorboard"]


def test_clean_keeps_the_runs_and_the_registry(project):
    assert make(project, "clean").returncode == 0
    assert not (project / "build").exists()
    assert (project / "runs" / "registry" / "small" / "version").is_file()
    assert (project / "data" / "tfds" / "x").is_file()


def test_runs_are_removed_by_who_says_so(project):
    refused = make(project, "clean-runs", stdin=subprocess.DEVNULL)
    assert refused.returncode != 0
    assert "error: runs/ holds the registry; FORCE=1" in refused.stderr
    assert (project / "runs").is_dir()
    assert make(project, "clean-runs", "FORCE=1", stdin=subprocess.DEVNULL).returncode == 0
    assert not (project / "runs").exists()
    assert make(project, "clean-runs", stdin=subprocess.DEVNULL).returncode == 0, "nothing is there to ask about"


@pytest.mark.parametrize(("answer", "left"), [("y", False), ("n", True), ("", True)])
def test_on_a_terminal_it_is_asked_whether_runs_shall_be_removed(project, answer, left):
    user, terminal = pty.openpty()
    os.write(user, f"{answer}\n".encode())
    made = make(project, "clean-runs", stdin=terminal)
    assert "Remove runs/ with its registry, " in made.stdout
    assert (project / "runs").exists() == left


def test_the_console_command_runs_from_any_folder(tmp_path):
    """Linked as `make setup` does it, from a folder with a package of the same name."""
    project = tmp_path / "a project"
    project.mkdir()
    for name in ("components", "configs", ".venv", "requirements-cpu.lock"):
        (project / name).symlink_to((ROOT / name).resolve())
    shutil.copytree(ROOT / "pipeline", project / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    other = tmp_path / "elsewhere"
    (other / "pipeline").mkdir(parents=True)
    (other / "pipeline" / "__init__.py").write_text("raise SystemExit('the wrong one')\n", encoding="utf-8")
    (other / "mine.yaml").write_text(
        "datasets: {f: {source: fashion_mnist}}\nmodels: {mlp: {family: mlp, dataset: f}}\n", encoding="utf-8"
    )
    command = other / "keras-pipeline"
    command.symlink_to(project / "pipeline" / "keras-pipeline")
    done = subprocess.run(
        [command, "compile", "mine.yaml"], cwd=other, env={}, capture_output=True, encoding="utf-8", check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("build/mine.yaml (SHA-256 ")
    assert (other / "build" / "mine.yaml").is_file()


def test_the_console_command_lets_exports_find_their_program(monkeypatch):
    """It sets PYTHONSAFEPATH, and the program is found by its folder."""
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    with start("litert") as fresh:
        fresh.process.stdin.write(b"{}\n")
        fresh.process.stdin.flush()
        errors = fresh.output.read()
    assert "No module named run_exported" not in errors
    assert "KeyError" in errors, "it starts, and looks for what to do"
