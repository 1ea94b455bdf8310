"""A registered model is believed only where this registry signed it and nobody changed it since."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from components.artifacts.registration import KEY, check_registration, read_registration, write_registration
from components.common.errors import InputError


def made(root, version="1", about=None):
    """A version with two files, signed."""
    folder = root / "families" / "fashion" / version
    (folder / "saved_model").mkdir(parents=True)
    (folder / "saved_model" / "saved_model.pb").write_bytes(b"model")
    (folder / "model.keras").write_bytes(b"weights")
    write_registration(folder, about or {"model": "mlp", "metrics": {"accuracy": 0.1 + 0.2}, "run": "r"}, root)
    return folder


@pytest.fixture
def version(tmp_path):
    """A version's folder in a registry."""
    return made(tmp_path / "registry")


def refused(folder, *parts, registry=None):
    with pytest.raises(InputError) as error:
        check_registration(folder, registry)
    assert len(error.value.problems) == 1
    for part in parts:
        assert part in str(error.value)


def test_what_the_registry_wrote_is_believed_also_through_a_link_and_moved_with_its_registry(version, tmp_path):
    (version.parent / "current").symlink_to("1")
    for folder in (version, version.parent / "current"):
        found = check_registration(folder, tmp_path / "registry")
        assert (found.model, found.run, found.metrics) == ("mlp", "r", {"accuracy": 0.1 + 0.2})
        assert sorted(found.files) == ["model.keras", "saved_model/saved_model.pb"]
    shutil.move(tmp_path / "registry", tmp_path / "moved")
    assert check_registration(tmp_path / "moved" / "families" / "fashion" / "current").model == "mlp"


def test_the_key_is_for_its_owner_alone_and_made_once(version, tmp_path):
    key = tmp_path / "registry" / KEY
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    assert len(before) == 32
    check_registration(made(tmp_path / "registry", "2"))
    check_registration(version)
    assert key.read_bytes() == before
    assert before != (made(tmp_path / "other").parents[2] / KEY).read_bytes()
    assert [path.name for path in (tmp_path / "registry").iterdir() if "partial" in path.name] == []


def test_many_that_begin_at_once_use_one_key(tmp_path):
    code = (
        "import sys; from pathlib import Path; from components.artifacts.registration import write_registration;"
        "registry, version = map(Path, sys.argv[1:]); sys.stdin.read(); write_registration(version, ABOUT, registry)"
    ).replace("ABOUT", str({"model": "mlp", "metrics": {}, "run": "r"}))
    registry = tmp_path / "registry"
    versions = [registry / "families" / "fashion" / str(number) for number in (1, 2, 3, 4)]
    for version in versions:
        version.mkdir(parents=True)
        (version / "model.keras").write_bytes(b"weights")
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(registry), str(version)], stdin=subprocess.PIPE)
        for version in versions
    ]
    for process in started:
        process.stdin.close()
    assert [process.wait() for process in started] == [0] * 4
    for version in versions:
        check_registration(version)


def edit(change):
    def edited(version):
        content = json.loads((version / "registration.json").read_text())
        change(content)
        (version / "registration.json").write_text(json.dumps(content))

    return edited


def folder_in_its_place(version):
    (version / "registration.json").unlink()
    (version / "registration.json").mkdir()


CHANGES = {
    "missing": (lambda v: (v / "registration.json").unlink(), ["registration.json: missing"]),
    "a folder": (folder_in_its_place, ["registration.json: is no file"]),
    "not JSON": (lambda v: (v / "registration.json").write_text("{"), ["no digests of the model's files"]),
    "not UTF-8": (lambda v: (v / "registration.json").write_bytes(b"\xff\xfe"), ["no digests of the model's files"]),
    "nested deeply": (lambda v: (v / "registration.json").write_text("[" * 100_000), ["no digests"]),
    "no digests": (edit(lambda c: c.pop("files")), ["no digests of the model's files"]),
    "unsigned": (edit(lambda c: c.pop("signature")), ["registration.json: not signed by a registry"]),
    "a metric changed": (edit(lambda c: c["metrics"].update(accuracy=0.99)), ["changed, or signed by another"]),
    "a signature not in ASCII": (edit(lambda c: c.update(signature="ü")), ["changed, or signed by another"]),
    "a file changed": (lambda v: (v / "model.keras").write_bytes(b"Weights"), ["model.keras: changed after"]),
    "a file added": (lambda v: (v / "saved_model" / "x").write_bytes(b""), ["saved_model/x: added after"]),
    "a file removed": (lambda v: (v / "model.keras").unlink(), ["model.keras: removed after"]),
    "no key": (lambda v: (v.parents[2] / KEY).unlink(), [".key: No such file", "expected the key of the registry"]),
    "half a key": (lambda v: (v.parents[2] / KEY).write_bytes(b"x" * 16), [".key: 16 bytes"]),
    "another key": (lambda v: (v.parents[2] / KEY).write_bytes(b"x" * 32), ["signed by another registry than"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_anything_else_is_refused_with_its_reason(version, name):
    change, parts = CHANGES[name]
    change(version)
    refused(version, *parts)


def test_a_version_that_is_not_in_its_registry_is_refused(version, tmp_path):
    """Copied out alone it has no key; and a whole registry of somebody else's has theirs."""
    copy = tmp_path / "a" / "b" / "c" / "d"
    shutil.copytree(version, copy)
    refused(copy, ".key: No such file")
    foreign = made(tmp_path / "downloads" / "registry")
    check_registration(foreign)
    refused(foreign, "lies outside of the registry", registry=tmp_path / "registry")
    (version.parent / "2").symlink_to(foreign)
    refused(version.parent / "2", "lies outside of the registry", registry=tmp_path / "registry")


def test_a_folder_near_the_root_is_refused_too():
    refused(Path("/proc"), "registration.json: missing")


def test_a_registration_of_before_is_read(version):
    content = json.loads((version / "registration.json").read_text())
    old = {name: content[name] for name in ("model", "files", "metrics")} | {"reasons": []}
    (version / "registration.json").write_text(json.dumps(old))
    found = read_registration(version)
    assert (found.model, found.run, found.seed, found.time) == ("mlp", None, None, None)
    refused(version, "not signed")


@pytest.mark.skipif(os.getuid() == 0, reason="root reads every key")
def test_a_key_that_may_not_be_read_is_one_line(version):
    (version.parents[2] / KEY).chmod(0)
    refused(version, ".key: Permission denied")
