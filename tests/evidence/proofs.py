"""Proofs that were changed: taken apart, changed, and put together again by someone with a key of his own."""

import json
import subprocess
import tarfile
from pathlib import Path

import numpy as np

from pipeline.evidence.archive import SUMS, pack, write_sums
from pipeline.evidence.audit import audit
from pipeline.evidence.signature import NAMESPACE


def key(folder, name):
    """A key of ssh-keygen's without a passphrase."""
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True)
    return path


def taken_apart(proof, folder):
    with tarfile.open(proof) as archive:
        archive.extractall(folder, filter="data")
    return folder


def put_together(folder, output, signer=None):
    """The proof of a folder, its digests computed again and signed by another one."""
    for name in (SUMS, f"{SUMS}.sig"):
        (folder / name).unlink(missing_ok=True)
    sums = write_sums(folder)
    if signer:
        subprocess.run(
            ["ssh-keygen", "-q", "-Y", "sign", "-f", signer, "-n", NAMESPACE, sums], check=True, capture_output=True
        )
    pack(folder, output)
    return output


def change_json(path, *keys, to):
    """Set the value at some keys of a JSON file; `to` is a function of the old one."""
    content = json.loads(path.read_text())
    place = content
    for name in keys[:-1]:
        place = place[name]
    place[keys[-1]] = to(place[keys[-1]])
    path.write_text(json.dumps(content))


def change_arrays(path, change):
    """Change the arrays of an .npz file."""
    with np.load(path) as saved:
        arrays = {name: saved[name] for name in saved.files}
    change(arrays)
    np.savez(path, **arrays)


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


ROOT = Path(__file__).parent.parent.parent


PROGRAM = ROOT / "pipeline" / "keras-pipeline"


def command(folder, *arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def failing(made, proof, step=0):
    """What an audit finds wrong, where it asks for the right signer."""
    lines = audit(proof, made.allowed, step, None, lambda text: None)
    return {line.what: line.found for line in lines if line.holds is False}


def lied(made, folder, change):
    """The audit of a proof that was changed, with right digests, and signed by another one."""
    change(taken_apart(made.proof, folder / "proof"))
    found = failing(made, put_together(folder / "proof", folder / "lie", made.other))
    assert f"which {made.allowed} doesn't allow" in found.pop("signature")
    return found
