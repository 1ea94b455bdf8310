"""A run with a proof of its model, for all tests of this folder."""

import functools
import hashlib
import shutil
from types import SimpleNamespace

import pytest
from proofs import command, key

CONFIG = """\
seed: 3
datasets: {fashion: {source: fashion_mnist, use: 0.01}}
models:
  small_mlp:
    {family: mlp, dataset: fashion, epochs: 24, batch_size: 50, keep_checkpoints: 2, hyperparameters: {units: [16]},
     label_smoothing: 0.4, average_flips: true}
  without: {family: mlp, dataset: fashion, epochs: 1, hyperparameters: {units: [4]}}
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A run's folder with a signed proof of its model, and who may have signed it."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.yaml").write_text(CONFIG)
    code, _, errors = command(folder, "run", "small.yaml")
    assert code == 0, errors
    own, other = key(folder, "own"), key(folder, "other")
    allowed = folder / "allowed"
    allowed.write_text(f"me@example.com {own.with_suffix('.pub').read_text()}")
    code, said, errors = command(folder, "prove", "small", "--model", "small_mlp", "--key", own)
    assert code == 0, errors
    assert said.startswith("small-small_mlp.proof: small_mlp of small/")
    return SimpleNamespace(folder=folder, proof=folder / "small-small_mlp.proof", own=own, other=other, allowed=allowed)


@pytest.fixture(scope="module", autouse=True)
def once(tmp_path_factory):
    """What the audits of a file compute alike is computed once: steps from the same files, and the data."""
    from pipeline.evidence import recompute

    known, folder = {}, tmp_path_factory.mktemp("datasets")
    redo, ingest = recompute.redo, recompute.ingest

    def redone(model, seed, dataset, kept, step, scratch):
        files = sorted((kept / str(step)).glob("checkpoint-*"))
        basis = [model.spec.model_dump_json(), seed, model.history, step, [path.read_bytes() for path in files]]
        name = hashlib.sha256(repr(basis).encode()).hexdigest()
        if name not in known:
            known[name] = redo(model, seed, dataset, kept, step, scratch)
        return known[name]

    @functools.cache
    def ingested(name, spec):
        return ingest(name, spec, str(folder / hashlib.sha256(spec.encode()).hexdigest()))

    def copied(name, spec, target):
        info = ingested(name, spec)
        shutil.copytree(folder / hashlib.sha256(spec.encode()).hexdigest(), target)
        return info

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recompute, "redo", redone)
        patch.setattr(recompute, "ingest", copied)
        yield
