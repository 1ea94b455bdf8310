"""The file of a proof: other programs read it, a signature guards it, and what is none is refused in a line."""

import io
import shutil
import struct
import subprocess
import tarfile
import zipfile

import numpy as np
import pytest
from proofs import command, failing, flipped, lied, put_together, taken_apart

from components.common.errors import InputError
from pipeline.evidence.archive import SUMS, unpack
from pipeline.evidence.audit import audit


def test_a_proof_holds_on_another_machine(made, tmp_path):
    shutil.copy(made.proof, tmp_path / "p")
    code, said, errors = command(tmp_path, "audit", "p", "--allowed-signers", made.allowed)
    assert code == 0, said + errors
    states = {line.split()[0]: line.split()[1] for line in said.splitlines() if " holds " in line}
    checked = "signature files config code packages machine data training model predictions metrics"
    assert states == dict.fromkeys(checked.split(), "holds")
    assert said.count("to the bit") == 4
    assert "me@example.com" in said
    assert "chosen at random" in said


def test_other_programs_read_it(made, tmp_path):
    subprocess.run(["tar", "--extract", "--file", made.proof], cwd=tmp_path, check=True)
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    verify = ["ssh-keygen", "-Y", "verify", "-f", made.allowed, "-I", "me@example.com", "-n", "keras-pipeline-proof"]
    with (tmp_path / SUMS).open() as sums:
        subprocess.run([*verify, "-s", f"{SUMS}.sig"], cwd=tmp_path, stdin=sums, check=True, stdout=subprocess.DEVNULL)
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert len((tmp_path / SUMS).read_text().splitlines()) == len(names) - 2
    assert not {name for name in names if name.endswith((".pkl", ".pickle"))}
    published = made.folder / "runs/small/latest/models/small_mlp"
    assert (tmp_path / "model.keras").read_bytes() == (published / "model.keras").read_bytes()
    assert not (published / "checkpoints").exists()


@pytest.mark.parametrize(
    "name", ["model.keras", "leaderboard.json", "proof.json", "predictions.npz", "after.npz", "*.index"]
)
def test_a_changed_file_is_named(name, made, tmp_path):
    taken_apart(made.proof, tmp_path / "proof")
    path = sorted((tmp_path / "proof").rglob(name))[0]
    flipped(path)
    with tarfile.open(tmp_path / "changed", "w") as archive:
        for file in sorted((tmp_path / "proof").rglob("*")):
            if file.is_file():
                archive.add(file, file.relative_to(tmp_path / "proof").as_posix())
    (tmp_path / "out").mkdir()
    found = unpack(tmp_path / "changed", tmp_path / "out")
    assert found == [f"{path.relative_to(tmp_path / 'proof')} was changed"]


def test_who_signs_again_is_found(made, tmp_path):
    assert lied(made, tmp_path, lambda folder: None) == {}


def test_an_unsigned_proof_says_so(made, tmp_path):
    taken_apart(made.proof, tmp_path / "proof")
    proof = put_together(tmp_path / "proof", tmp_path / "unsigned")
    assert failing(made, proof) == {"signature": "none: the proof is unsigned, anyone can have made it"}
    lines = audit(proof, None, 0, None, lambda text: None)
    assert {line.holds for line in lines} == {True, None}
    assert lines[0].holds is None and "unsigned" in lines[0].found
    # Signed, and nobody has said whose signature it has to be.
    lines = audit(made.proof, None, 0, None, lambda text: None)
    assert lines[0].holds is None and "--allowed-signers" in lines[0].found


def test_a_changed_list_of_digests_breaks_the_signature(made, tmp_path):
    folder = taken_apart(made.proof, tmp_path / "proof")
    (folder / "predictions.npz").write_bytes((folder / "model.json").read_bytes())
    signature = (folder / f"{SUMS}.sig").read_bytes()
    proof = put_together(folder, tmp_path / "lie")
    with tarfile.open(proof, "a:") as archive:
        member = tarfile.TarInfo(f"{SUMS}.sig")
        member.size = len(signature)
        archive.addfile(member, io.BytesIO(signature))
    found = failing(made, proof)
    assert found["signature"].startswith("wrong: ")
    assert "predictions" in found


def tar_of(path, *members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, change in members:
            member = tarfile.TarInfo(name)
            member.size = 3
            change(member)
            archive.addfile(member, io.BytesIO(b"abc"))
    return path


def link(kind):
    def change(member):
        member.type, member.linkname, member.size = kind, "/etc/passwd", 0

    return change


def plain(member):
    pass


BAD = {
    "absent": lambda p: p,
    "a folder": lambda p: p.mkdir(),
    "empty": lambda p: p.write_bytes(b""),
    "text": lambda p: p.write_text("no archive\n" * 100),
    "compressed": lambda p: tar_of(p, (SUMS, plain), mode="w:gz"),
    "no list": lambda p: tar_of(p, ("model.keras", plain)),
    "a list of something else": lambda p: tar_of(p, (SUMS, plain)),
    "up": lambda p: tar_of(p, ("../evil", plain)),
    "up in the middle": lambda p: tar_of(p, ("checkpoints/../../evil", plain)),
    "absolute": lambda p: tar_of(p, (f"{p}-evil", plain)),
    "a symbolic link": lambda p: tar_of(p, ("evil", link(tarfile.SYMTYPE))),
    "a hard link": lambda p: tar_of(p, ("evil", link(tarfile.LNKTYPE))),
    "a pipe": lambda p: tar_of(p, ("evil", link(tarfile.FIFOTYPE))),
    "twice": lambda p: tar_of(p, ("model.json", plain), ("model.json", plain)),
    "a file below a file": lambda p: tar_of(p, ("model.json", plain), ("model.json/x", plain)),
    "odd letters": lambda p: tar_of(p, ("model\x1b[31m", plain)),
}


@pytest.mark.parametrize("write", BAD.values(), ids=BAD.keys())
def test_what_is_no_proof_is_refused_in_a_line(write, tmp_path):
    write(tmp_path / "bad")
    before = {path for path in tmp_path.rglob("*")}
    with pytest.raises(InputError) as refused:
        audit(tmp_path / "bad", None, None, None, lambda text: None)
    (line,) = refused.value.lines()
    assert line.startswith(f"{tmp_path}/bad: ") and line.isprintable()
    assert {path for path in tmp_path.rglob("*")} == before


def test_a_hole_of_many_bytes_is_refused(tmp_path):
    """A sparse file of a gigabyte in an archive of some kilobytes."""
    with (tmp_path / "model.keras").open("wb") as file:
        file.truncate(1 << 30)
    subprocess.run(["tar", "--sparse", "--create", "--file", "bomb", "model.keras"], cwd=tmp_path, check=True)
    assert (tmp_path / "bomb").stat().st_size < 100_000
    with pytest.raises(InputError, match="is no plain file"):
        audit(tmp_path / "bomb", None, None, None, lambda text: None)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_a_cut_proof_is_refused_with_exit_code_2(share, made, tmp_path):
    content = made.proof.read_bytes()
    (tmp_path / "cut").write_bytes(content[: round(len(content) * share)])
    code, said, errors = command(tmp_path, "audit", "cut")
    assert (code, said, errors.count("\n")) == (2, "", 1), errors
    assert errors.startswith("error: cut: ")


def test_compressed_weights_are_refused(made, tmp_path):
    """They could be far larger than the proof."""

    def change(folder):
        with zipfile.ZipFile(folder / "model.keras") as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(folder / "model.keras", "w") as archive:
            for name, content in files.items():
                stored = not name.endswith(".h5")
                archive.writestr(name, content, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)

    message = "model.keras can't be read: model.weights.h5 is compressed"
    assert lied(made, tmp_path, change) == dict.fromkeys(("model", "predictions", "metrics"), message)


def test_weights_that_are_said_to_be_larger_than_the_file_are_refused(made, tmp_path):
    def change(folder):
        content = bytearray((folder / "model.keras").read_bytes())
        entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"model.weights.h5"))
        struct.pack_into("<I", content, entry + 24, 1 << 30)
        (folder / "model.keras").write_bytes(content)

    message = "model.keras can't be read: its files are said to be larger than itself"
    assert lied(made, tmp_path, change) == dict.fromkeys(("model", "predictions", "metrics"), message)


def test_compressed_arrays_are_refused(made, tmp_path):
    """They could be far larger than the proof."""

    def change(folder):
        with np.load(folder / "predictions.npz") as saved:
            np.savez_compressed(folder / "predictions.npz", **{name: saved[name] for name in saved.files})

    assert lied(made, tmp_path, change)["predictions"] == "predictions.npz can't be read: compressed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prove", "small", "--model", "without"], "without kept no checkpoints; expected keep_checkpoints: 3 at the"),
        (["prove", "small", "--model", "mlp"], "no model 'mlp'; did you mean small_mlp?"),
        (["prove", "smal", "--model", "mlp"], "runs: no run 'smal'; did you mean small"),
        (["prove", "small", "--model", "small_mlp", "--key", "small.yaml"], "small.yaml: ssh-keygen can't sign"),
        (["prove", "small", "--model", "small_mlp", "--key", "nokey"], "nokey: no such file; expected a key"),
        (["prove", "small", "--model", "small_mlp", "--output", "runs"], "runs: expected a file in a folder"),
        (["audit", "small-small_mlp.proof", "--step", "5"], "--step 5: small-small_mlp.proof kept the steps 0, "),
        (["audit", "small-small_mlp.proof", "--data", "x.csv"], "--data: fashion reads no file"),
        (["audit", "small-small_mlp.proof", "--allowed-signers", "x"], "x: no such file; expected allowed signers"),
    ],
)  # fmt: skip
def test_bad_arguments_are_a_line(arguments, message, made):
    code, said, errors = command(made.folder, *arguments)
    assert (code, said, errors.count("\n")) == (2, "", 1), errors
    assert message in errors
    assert not [*made.folder.glob(".*proof*")]
