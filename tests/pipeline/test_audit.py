"""A proof is made of a run, and an audit finds what was changed in it, also by someone who signs it again."""

import functools
import hashlib
import io
import json
import shutil
import struct
import subprocess
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from proofs import change_arrays, change_json, flipped, key, put_together, taken_apart

from components.artifacts.model import load_model_info
from components.common.errors import InputError
from pipeline.evidence.archive import SUMS, unpack
from pipeline.evidence.audit import audit

ROOT = Path(__file__).parent.parent.parent
PROGRAM = ROOT / "pipeline" / "keras-pipeline"
CONFIG = """\
seed: 3
datasets: {fashion: {source: fashion_mnist, use: 0.01}}
models:
  small_mlp:
    {family: mlp, dataset: fashion, epochs: 24, batch_size: 50, keep_checkpoints: 2, hyperparameters: {units: [16]},
     label_smoothing: 0.4}
  without: {family: mlp, dataset: fashion, epochs: 1, hyperparameters: {units: [4]}}
"""


def command(folder, *arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
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
    """What the audits of this file compute alike is computed once: steps from the same files, and the data."""
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


def test_a_changed_metric(made, tmp_path):
    def change(folder):
        board = json.loads((folder / "leaderboard.json").read_text())
        for entry in board["models"]:
            if entry["model"] == "small_mlp":
                entry["metrics"]["accuracy"] += 0.01
        (folder / "leaderboard.json").write_text(json.dumps(board))

    found = lied(made, tmp_path, change)
    assert found.keys() == {"metrics"}
    assert found["metrics"].startswith("accuracy is ")


def test_a_changed_config(made, tmp_path):
    def change(folder):
        change_json(folder / "proof.json", "config", "models", "small_mlp", "learning_rate", to=lambda rate: rate / 2)

    assert lied(made, tmp_path, change) == {"config": "models.small_mlp.learning_rate: 0.0005 and 0.001"}


def test_a_changed_config_that_the_model_agrees_with(made, tmp_path):
    def change(folder):
        change_json(folder / "proof.json", "config", "models", "small_mlp", "learning_rate", to=lambda rate: rate / 2)
        change_json(folder / "model.json", "spec", "learning_rate", to=lambda rate: 0.0005)

    found = lied(made, tmp_path, change)
    assert found.keys() == {"training", "model"}
    assert found["training"] == "steps 0 to 200: other metrics of epochs than the model's history has"
    assert found["model"] == "its checkpoint has learning rate 0.0010000000474974513, expected 0.0005000000237487257"


def test_a_model_with_other_layers(made, tmp_path):
    """The weights are the same, but not what is computed with them."""

    def change(folder):
        with zipfile.ZipFile(folder / "model.keras") as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        files["config.json"] = files["config.json"].replace(b'"relu"', b'"gelu"')
        with zipfile.ZipFile(folder / "model.keras", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)

    found = lied(made, tmp_path, change)
    assert found == dict.fromkeys(
        ("model", "predictions", "metrics"), "model.keras has other layers than family mlp builds"
    )


def test_other_data(made, tmp_path):
    def change(folder):
        change_json(folder / "proof.json", "config", "datasets", "fashion", "use", to=lambda use: 0.02)

    found = lied(made, tmp_path, change)
    assert "other records" in found["data"]
    assert found.keys() == {"data", "training", "model", "predictions", "metrics"}


def test_other_code_and_packages(made, tmp_path):
    def change(folder):
        change_json(folder / "proof.json", "code", "components/train/adam.py", to=lambda digest: digest[::-1])
        change_json(folder / "proof.json", "versions", "keras", to=lambda version: "3.0.0")

    found = lied(made, tmp_path, change)
    assert found["code"] == "differs here: components/train/adam.py"
    assert found["packages"].startswith("keras 3.0.0, here 3.")
    assert found.keys() == {"code", "packages"}


def test_a_checkpoint_that_is_left_out(made, tmp_path):
    """Whoever trains can't choose what an audit may look at."""
    found = lied(made, tmp_path, lambda folder: shutil.rmtree(folder / "checkpoints" / str(another(folder))))
    assert found.keys() == {"training", "model"}
    assert "by the seed they are" in found["training"]


@pytest.mark.parametrize("model", [{"tune": {"trials": "many"}}, {"hyperparameters": 3}])
def test_a_config_that_is_none(model, made, tmp_path):
    def change(folder):
        change_json(folder / "proof.json", "config", "models", "small_mlp", to=lambda config: {**config, **model})

    assert lied(made, tmp_path, change).keys() == {"config"}


def another(folder):
    """A kept step that isn't the start, nor the one before the best epoch's end."""
    others = (0, tail_of(folder))
    return next(int(p.name) for p in sorted((folder / "checkpoints").iterdir()) if int(p.name) not in others)


def tail_of(folder):
    """The kept step before the best epoch's end."""
    from components.train.kept import tail

    return tail(load_model_info(folder).best_epoch - 1, 11)


def mark(folder):
    """Write the digest of a checkpoint's files that it has itself."""
    (written,) = folder.glob("*.sha256")
    digest = hashlib.sha256()
    for path in sorted(folder.glob("checkpoint-*")):
        if path != written:
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    written.write_text(digest.hexdigest())


def data_of(made):
    """The ingested data of the run."""
    return next((made.folder / "runs/small/.work/outputs/tasks").glob("ingest-fashion-*/dataset"))


def forge(made, folder, step, change):
    """Write a kept checkpoint anew; `change` gives its state, of the state and of the weights of its best epoch.

    Returns:
        The weights of its model.
    """
    from components.artifacts.dataset import load_info
    from components.train.checkpoint import Checkpoints
    from components.train.devices import find_devices
    from components.train.shared_batches import SharedBatches
    from components.train.train import build_compiled

    spec, dataset, devices = load_model_info(folder).spec, data_of(made), find_devices()
    info = load_info(dataset)
    batches = SharedBatches("small_mlp", spec, str(dataset), info, 3, devices)
    model, _ = build_compiled(spec, info, 3, "float32", batches, devices)
    checkpoints = Checkpoints(str(folder / "checkpoints" / str(step)), model)
    checkpoints.save(change(checkpoints.restore(checkpoints.newest()), checkpoints.best))
    return model.get_weights()


def test_a_checkpoint_that_trains_no_step(made, tmp_path):
    """Its patience is over at once, and the weights after it are its own."""
    folder = taken_apart(made.proof, tmp_path / "proof")
    step = another(folder)
    weights = forge(made, folder, step, lambda state, best: {**state, "best_epoch": -1_000_000})
    np.savez(folder / f"checkpoints/{step}/after.npz", *weights)
    found = failing(made, put_together(folder, tmp_path / "lie", made.own), step)
    assert found.keys() == {"training"}
    assert "its checkpoint has best epoch -999999, by the history it is " in found["training"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: {**state, "more": 1}, "unexpected keyword argument 'more'"),
        (lambda state: {**state, "history": 3}, "its checkpoint's state.history: Input should be a valid array"),
        (
            lambda state: {**state, "best_epoch": True},
            "its checkpoint's state.best_epoch: Input should be a valid integer",
        ),
        (lambda state: [], "its checkpoint's state: Input should be an object"),
        (lambda state: {**state, "history": state["history"][:-1]}, "other metrics of epochs than the model's"),
        (lambda state: {**state, "rollbacks": 1}, "its checkpoint has 1 rollbacks, expected none"),
        (lambda state: {**state, "metrics": None}, "sums of metrics that aren't those of one replica"),
        (lambda state: {**state, "metrics": [[0.0] * 4] * 2}, "sums of metrics that aren't those of one replica"),
        (lambda state: {**state, "metrics": [[0.0]]}, "step"),
    ],
)
def test_a_checkpoint_with_another_state(change, message, made, tmp_path):
    """The audit goes on, and says what it found before and after it."""
    folder = taken_apart(made.proof, tmp_path / "proof")
    step = another(folder)
    assert step % 11, "within an epoch"
    forge(made, folder, step, lambda state, best: change(state))
    found = failing(made, put_together(folder, tmp_path / "lie", made.own), step)
    assert found.keys() == {"training"}
    assert found["training"].startswith(f"step {step}: ") and "\n" not in found["training"]
    assert message in found["training"]


def test_a_checkpoint_whose_number_is_no_float(made, tmp_path):
    """The trainer would take the one whose number is the nearest float."""
    folder = taken_apart(made.proof, tmp_path / "proof")
    step = another(folder)
    for path in (folder / "checkpoints" / str(step)).glob("checkpoint-*"):
        path.rename(path.with_name(f"checkpoint-{2**53 + 1}.{path.name.partition('.')[2]}"))
    mark(folder / "checkpoints" / str(step))
    found = failing(made, put_together(folder, tmp_path / "lie", made.own), step)
    assert found == {"training": f"step {step}: its checkpoint is damaged"}


@pytest.mark.parametrize("marked", [True, False])
def test_a_changed_checkpoint(marked, made, tmp_path):
    """Its own digest was computed again, or not."""
    folder = taken_apart(made.proof, tmp_path / "proof")
    step = another(folder)
    (data,) = (folder / "checkpoints" / str(step)).glob("*.data*")
    flipped(data)
    if marked:
        mark(data.parent)
    found = failing(made, put_together(folder, tmp_path / "lie", made.own), step)
    assert found.keys() == {"training"}
    assert f"step {step}: its checkpoint" in found["training"] if not marked else "step" in found["training"]


def test_changed_weights_after_a_checkpoint(made, tmp_path):
    def nudge(arrays):
        arrays["arr_0"][0, 0] = np.nextafter(arrays["arr_0"][0, 0], np.float32(9))

    found = lied(made, tmp_path, lambda folder: change_arrays(folder / "checkpoints/0/after.npz", nudge))
    assert found.keys() == {"training"}
    assert "of their way off, expected the same bits on this CPU" in found["training"]


def test_changed_predictions(made, tmp_path):
    def nudge(arrays):
        arrays["prediction"][0] = np.nextafter(arrays["prediction"][0], np.float32(9))

    found = lied(made, tmp_path, lambda folder: change_arrays(folder / "predictions.npz", nudge))
    assert found.keys() == {"predictions"}


def never_trained(made, folder):
    """Other weights, whose temperature, predictions and metrics are right; returns the weights of the best epoch."""
    from components.artifacts.dataset import load_info
    from components.artifacts.model import compiled
    from components.data import input_pipeline
    from components.metrics import bootstrap, metrics
    from components.train.train import finished

    dataset, spec = data_of(made), load_model_info(folder).spec
    info, last = load_info(dataset), tail_of(folder)
    weights = []

    def read(state, best):
        weights.extend(weight.numpy() * np.float32(1.01) for weight in best)
        return state

    forge(made, folder, last, read)
    model, temperature = finished(weights, spec, info, 3, str(dataset))
    model.save(folder / "model.keras")
    change_json(folder / "model.json", "temperature", to=lambda old: temperature.model_dump(mode="json"))
    call = compiled(model, info)
    answered = [(call(x).numpy(), y.numpy()) for x, y in input_pipeline.sequential_batches(dataset, info, "test", 512)]
    prediction, target = (np.concatenate(parts) for parts in zip(*answered, strict=True))
    np.savez(folder / "predictions.npz", target=target, prediction=prediction)
    measured = (info.task, target, prediction)
    board = json.loads((folder / "leaderboard.json").read_text())
    entry = next(entry for entry in board["models"] if entry["model"] == "small_mlp")
    entry["metrics"] = metrics.measure(*measured)
    entry["intervals"] = bootstrap.intervals(metrics.resampled(*measured), len(target), 3, 1)
    (folder / "leaderboard.json").write_text(json.dumps(board))
    return weights


def test_a_model_that_fits_its_own_figures_and_was_never_trained_so(made, tmp_path):
    """Weights, predictions and leaderboard agree with each other: only the training tells."""
    found = lied(made, tmp_path, lambda folder: never_trained(made, folder))
    assert found.keys() == {"model"}, found


def best_of_all(state):
    state["history"][0]["val_accuracy"] = 2.0
    return {**state, "best_epoch": 0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: {**state, "best_epoch": -1_000_000}, "its checkpoint has best epoch -999999, by the history it"),
        (best_of_all, "its checkpoint has other metrics of epochs than the model's history has"),
    ],
)
def test_a_checkpoint_that_says_what_the_best_weights_are(change, message, made, tmp_path):
    """No epoch that is trained again is better, and the model's weights are those that the file calls the best."""

    def forged(folder):
        weights = never_trained(made, folder)

        def write(state, best):
            for variable, weight in zip(best, weights, strict=True):
                variable.assign(weight)
            return change(state)

        forge(made, folder, tail_of(folder), write)

    found = lied(made, tmp_path, forged)
    assert found.keys() == {"model"}
    assert message in found["model"]


def test_a_history_in_which_an_earlier_epoch_was_the_best(made, tmp_path):
    """The checkpoint agrees with the model, and so the epoch that is trained again isn't the best one."""

    def forged(folder):
        def write(state, best):
            return best_of_all(state)

        forge(made, folder, tail_of(folder), write)
        change_json(folder / "model.json", "history", 0, "val_accuracy", to=lambda value: 2.0)

    found = lied(made, tmp_path, forged)
    assert found.keys() == {"config", "training", "model"}
    assert found["config"].startswith("the best epoch, and the history's: ") and found["config"].endswith(" and 1")
    assert "trained again, epoch 1 is the best, expected epoch " in found["model"]


def test_another_best_epoch(made, tmp_path):
    def change(folder):
        change_json(folder / "model.json", "best_epoch", to=lambda epoch: 1)
        board = json.loads((folder / "leaderboard.json").read_text())
        for entry in board["models"]:
            entry["best_epoch"] = 1
        (folder / "leaderboard.json").write_text(json.dumps(board))

    found = lied(made, tmp_path, change)
    assert found["config"].startswith("the best epoch, and the history's: 1 and ")


def test_more_epochs_than_the_config_has(made, tmp_path):
    def change(folder):
        change_json(folder / "proof.json", "config", "models", "small_mlp", "epochs", to=lambda epochs: 20)
        change_json(folder / "model.json", "spec", "epochs", to=lambda epochs: 20)

    assert lied(made, tmp_path, change)["config"].startswith("the epochs, and the config's epochs and patience: 24 and")


def test_more_epochs_than_the_patience_allows(made, tmp_path):
    def change(folder):
        change_json(folder / "proof.json", "config", "models", "small_mlp", "patience", to=lambda none: 1)
        change_json(folder / "model.json", "spec", "patience", to=lambda none: 1)

    found = lied(made, tmp_path, change)
    assert found["config"].startswith("the epochs, and the config's epochs and patience: 24 and")
    assert found["training"].startswith("step 0: trained again it ends at step ")
    assert found["training"].endswith(", expected 200")


def set_cores(folder):
    change_json(folder / "model.json", "machine", "cores", to=lambda cores: 10**9)


def set_threads(folder):
    change_json(folder / "model.json", "spec", "threads", to=lambda threads: 10**9)


def keep_none(folder):
    change_json(folder / "proof.json", "config", "models", "small_mlp", "keep_checkpoints", to=lambda number: 0)
    change_json(folder / "model.json", "spec", "keep_checkpoints", to=lambda number: 0)
    for path in (folder / "checkpoints").iterdir():
        if path.name != "0":
            shutil.rmtree(path)


def without_metric(folder):
    change_json(folder / "model.json", "history", 0, to=lambda epoch: {"seconds": 1.0})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (keep_none, "model.json: keep_checkpoints: 0, expected at least 1"),
        (set_cores, "model.json: machine.cores: Input should be less than or equal to 4096"),
        (set_threads, "model.json: spec.threads: Input should be less than or equal to 1024"),
        (without_metric, "model.json: history: an epoch without val_accuracy"),
    ],
)
def test_what_no_training_writes_is_refused(change, message, made, tmp_path):
    folder = taken_apart(made.proof, tmp_path / "proof")
    change(folder)
    proof = put_together(folder, tmp_path / "lie")
    with pytest.raises(InputError) as refused:
        audit(proof, None, 0, None, lambda text: None)
    assert refused.value.lines() == [f"{proof}: {message}"]


def test_a_changed_temperature(made, tmp_path):
    def change(folder):
        assert load_model_info(folder).temperature.value < 0.9
        change_json(folder / "model.json", "temperature", "value", to=lambda value: 1.5)

    found = lied(made, tmp_path, change)
    assert found.keys() == {"model"}
    assert "trained again it has temperature 0." in found["model"]
    assert "expected temperature 1.5: " in found["model"]


def test_on_another_cpu_it_is_within_a_tolerance(made, tmp_path):
    """The same lies as above are found, where they are larger than another CPU's last bits."""
    folder = taken_apart(made.proof, tmp_path / "proof")
    board = json.loads((folder / "leaderboard.json").read_text())
    for entry in board["models"]:
        entry["machine"]["cpu"] = "another"
    (folder / "leaderboard.json").write_text(json.dumps(board))
    change_json(folder / "model.json", "machine", "cpu", to=lambda cpu: "another")

    def nudge(by):
        def change(arrays):
            arrays["arr_0"] *= 1 + by

        return lambda: change_arrays(folder / "checkpoints/0/after.npz", change)

    nudge(np.float32(1e-6))()
    proof = put_together(folder, tmp_path / "other", made.own)
    lines = {line.what: line for line in audit(proof, made.allowed, 0, None, lambda text: None)}
    assert lines["machine"].holds is None and "within tolerances, this is " in lines["machine"].found
    assert lines["training"].holds and "of their way off, expected at most 5%" in lines["training"].found
    assert not [line for line in lines.values() if line.holds is False]
    nudge(np.float32(0.3))()
    assert failing(made, put_together(folder, tmp_path / "far", made.own)).keys() == {"training"}


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


@pytest.mark.parametrize("dtype", ["float64", "U32"])
def test_predictions_of_another_type(dtype, made, tmp_path):
    def change(folder):
        change_arrays(
            folder / "predictions.npz", lambda saved: saved.update(prediction=saved["prediction"].astype(dtype))
        )

    found = lied(made, tmp_path, change)
    assert found.keys() == {"predictions"}
    assert ", expected float32 [" in found["predictions"]


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
