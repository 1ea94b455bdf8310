"""The commands for the registry: what is in it, and which version is current."""

import json
import subprocess
import sys

import pytest

from components.artifacts.registration import write_registration
from components.artifacts.shelf import current, make_current
from pipeline import __main__
from pipeline.commands import registry as commands


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A registry of two data sets: two versions of one, an old registration of the other."""
    monkeypatch.setattr(commands, "REGISTRY", tmp_path / "runs" / "registry")
    root = tmp_path / "runs" / "registry"
    for version, accuracy in (("1", 0.8889), ("2", 0.7685)):
        folder = root / "families" / "fashion" / version
        folder.mkdir(parents=True)
        (folder / "model.keras").write_text(version)
        about = {
            "model": f"mlp{version}", "family": "mlp", "dataset": "fashion", "task": "classification",
            "metrics": {"accuracy": accuracy, "loss": 0.3},
            "intervals": {"accuracy": [accuracy - 0.01, accuracy + 0.01]},
            "run": f"2026010{version}-120000", "seed": 7, "time": f"2026-01-0{version}T12:00:03+00:00",
            "sha256": version * 64,
        }  # fmt: skip
        write_registration(folder, about, root)
    make_current(root / "families" / "fashion", "2")
    old = root / "families" / "demand" / "1"
    old.mkdir(parents=True)
    before = {"model": "lstm", "metrics": {"mae": 0.2}, "reasons": [], "sha256": "a" * 64, "files": {}}
    (old / "registration.json").write_text(json.dumps(before))
    make_current(old.parent, "1")
    return tmp_path / "runs"


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command line here; exit code, lines of both streams."""

    def command(*arguments):
        monkeypatch.setattr("sys.argv", ["pipeline", *arguments])
        code = 0
        try:
            __main__.main()
        except SystemExit as ended:
            code = ended.code
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return command


def test_the_list_has_each_version_with_all_that_is_known_of_it(runs, command):
    code, out, err = command("registry")
    assert (code, err) == (0, [])
    demand, first, second = (line.split() for line in out[1:])
    assert demand == ["families/demand", "1", "current", "lstm", "mae", "0.2000", "a" * 8]
    assert first == [
        "families/fashion", "1", "mlp1", "accuracy", "0.8889", "0.8789", "to", "0.8989", "20260101-120000",
        "2026-01-01", "12:00", "7", "1" * 8,
    ]  # fmt: skip
    assert second[:3] == ["families/fashion", "2", "current"]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_terminal_of_any_usual_width_shows_each_version_on_a_line(runs, command, monkeypatch, width):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")  # to rich, what is captured is a terminal
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = command("registry")
    assert len(out) == 4, out
    assert max(map(len, out[1:])) <= width
    assert "…" not in "".join(out)
    assert all(
        word in out[3] for word in ("families/fashion", "current", "mlp2", "accuracy 0.7685", "2026-01-02 12:00")
    )
    assert ("20260102-120000" in out[3]) == (width == 200)


def test_an_empty_registry_is_a_line(command, tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "REGISTRY", tmp_path / "runs" / "registry")
    for _ in range(2):
        code, out, _ = command("registry")
        assert (code, out) == (0, [f"{tmp_path}/runs/registry: nothing is registered"])
        (tmp_path / "runs" / "registry" / "families").mkdir(parents=True, exist_ok=True)


def test_current_is_moved_by_hand_and_back(runs, command):
    shelf = runs / "registry" / "families" / "fashion"
    assert command("registry", "promote", "families/fashion", "1")[1] == [
        "families/fashion: version 1 is current now, it was version 2"
    ]
    assert current(shelf) == "1"
    assert command("registry", "promote", "families/fashion", "1")[1] == [
        "families/fashion: version 1 is current already"
    ]
    assert command("registry", "promote", "families/fashion", "2")[0] == 0
    assert current(shelf) == "2"
    (shelf / "current").unlink()
    assert "families/fashion: no current version" in command("registry")[1][-1]
    assert command("registry", "promote", "families/fashion", "2")[1] == [
        "families/fashion: version 2 is current now, there was none"
    ]


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("families/fashin", "1", "families/fashin: not in {root}; did you mean 'families/fashion'?"),
        ("x", "1", "x: not in {root}; there are: families/demand, families/fashion"),
        ("../registry/families/fashion", "1", "../registry/families/fashion: not in"),
        ("families/fashion", "3", "families/fashion: no version '3'; there are: 1, 2"),
        ("families/fashion", "../fashion/1", "families/fashion: no version '../fashion/1'; there are: 1, 2"),
        ("families/demand", "1", "{root}/families/demand/1/registration.json: not signed by a registry"),
    ],
)
def test_what_cannot_be_promoted_is_one_line(runs, command, name, version, said):
    code, out, err = command("registry", "promote", name, version)
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith(f"error: {said.format(root=runs / 'registry')}")
    assert current(runs / "registry" / "families" / "fashion") == "2"


def test_a_registry_that_cannot_be_written_is_one_line(runs, command):
    shelf = runs / "registry" / "families" / "fashion"
    if subprocess.run(["mount", "--bind", shelf, shelf], capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", shelf], check=True)
        code, out, err = command("registry", "promote", "families/fashion", "1")
    finally:
        subprocess.run(["umount", "--lazy", shelf], check=True)
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].endswith("families/fashion: can't be written to: Read-only file system")


def test_a_version_that_was_changed_is_not_promoted(runs, command):
    (runs / "registry" / "families" / "fashion" / "1" / "model.keras").write_text("x")
    code, _, err = command("registry", "promote", "families/fashion", "1")
    assert code == 2
    assert "model.keras: changed after the model was registered" in err[0]


def test_a_registration_that_cannot_be_read_does_not_hide_the_others(runs, command):
    (runs / "registry" / "families" / "fashion" / "1" / "registration.json").write_text("{")
    code, out, _ = command("registry")
    assert code == 0
    assert "unreadable" in out[2]
    assert "mlp2" in out[3]
    assert out[4].endswith("register the model again")


def test_listing_imports_neither_tensorflow_nor_kfp(runs):
    code = (
        "import sys; from pipeline import __main__; sys.argv = ['pipeline', 'registry']; __main__.main();"
        "print([n for n in ('tensorflow', 'kfp', 'pandas') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
