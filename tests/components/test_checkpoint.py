"""A checkpoint is whole or absent, whatever happens to its files or to the disk."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from small_files import small_files
from trainings import MODELS, assert_same, saved_states, terminated, train

from components.train import train as train_step
from components.train.checkpoint import Checkpoints


# What may happen to a file.
def torn(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 1
    path.write_bytes(content)


def emptied(path):
    path.write_bytes(b"")


def footer_flipped(path):
    """The last bytes of the index, which say where its parts lie and have no CRC."""
    content = bytearray(path.read_bytes())
    for i in range(len(content) - 48, len(content) - 40):
        content[i] |= 0x80
    path.write_bytes(content)


@pytest.fixture(scope="module")
def saved(datasets, tmp_path_factory):
    """A model with three checkpoints saved, of which two are kept."""
    from components.artifacts.dataset import load_info
    from components.common.spec import ModelSpec
    from components.train.optimization import compile_model

    info, spec = load_info(datasets / "fashion"), ModelSpec(**MODELS["mlp"])
    model = train_step.build(spec, info, 1, "float32")
    compile_model(model, spec, info, 10)
    model.optimizer.build(model.trainable_variables)
    folder = tmp_path_factory.mktemp("saved")
    checkpoints = Checkpoints(str(folder), model)
    for number in (1, 2, 3):
        model.set_weights([np.full_like(weight, number) for weight in model.get_weights()])
        checkpoints.save({"number": number})
    assert sorted({path.name.split(".")[0] for path in folder.iterdir()}) == ["checkpoint-2", "checkpoint-3"]
    return model, folder


@pytest.mark.parametrize("ending", ["index", "data-00000-of-00001", "sha256"])
@pytest.mark.parametrize("damage", [torn, flipped, emptied, Path.unlink, footer_flipped])
def test_a_damaged_checkpoint_is_passed_over(ending, damage, saved, tmp_path, capsys):
    model, folder = saved
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    checkpoints = Checkpoints(str(tmp_path), model)
    assert checkpoints.newest() == 3
    assert capsys.readouterr().out == ""
    damage(tmp_path / f"checkpoint-3.{ending}")
    assert checkpoints.newest() == 2
    assert re.fullmatch(r"checkpoint 3 is (damaged|incomplete), trying the one before\n", capsys.readouterr().out)
    assert checkpoints.restore(2) == {"number": 2}
    assert (np.concatenate([w.ravel() for w in model.get_weights()]) == 2).all()
    # The number isn't used again, and what is left of it goes with the next save.
    checkpoints.save({"number": 4})
    assert sorted({path.name.split(".")[0] for path in tmp_path.iterdir()}) == ["checkpoint-2", "checkpoint-4"]
    for path in tmp_path.glob("*.data*"):
        damage(path)
    assert checkpoints.newest() == 0
    assert capsys.readouterr().out.endswith("no whole checkpoint is left: training starts anew\n")
    checkpoints.save({"number": 5})
    assert sorted({path.name.split(".")[0] for path in tmp_path.iterdir()}) == ["checkpoint-1"]
    assert Checkpoints(str(tmp_path), model).newest() == 1
    assert capsys.readouterr().out == ""


def test_a_deleted_checkpoint_is_missed(saved, tmp_path, capsys):
    model, folder = saved
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("checkpoint-3.*"):
        path.unlink()
    checkpoints = Checkpoints(str(tmp_path), model)
    assert checkpoints.newest() == 2
    assert capsys.readouterr().out == "checkpoint: of the last 2, only 2 is there\n"


def test_with_every_checkpoint_damaged_it_starts_anew(datasets, undisturbed, tmp_path, monkeypatch, capsys):
    terminated(monkeypatch, 15, "mlp", tmp_path, datasets)
    assert [state["done"] for state in saved_states(tmp_path)] == [11, 15]
    for path in (tmp_path / "checkpoints").rglob("*.index"):
        flipped(path)
    assert_same(train("mlp", tmp_path, datasets), undisturbed["mlp"])
    said = capsys.readouterr().out
    assert "training starts anew" in said
    assert "going on" not in said


def test_a_file_that_cannot_grow_leaves_the_checkpoint_before(saved, tmp_path):
    model, _ = saved
    checkpoints = Checkpoints(str(tmp_path), model)
    checkpoints.save({"number": 1})
    with (
        small_files(20_000),
        pytest.raises(RuntimeError, match=r"checkpoint 2 can't be saved, the one before is whole"),
    ):
        checkpoints.save({"number": 2})
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"checkpoint-1"}
    assert checkpoints.newest() == 1
    checkpoints.save({"number": 2})
    assert checkpoints.newest() == 2


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for one checkpoint of the MLP and a half."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_full_disk_is_one_line_and_can_be_gone_on_from(datasets, undisturbed, small_disk, capsys):
    with pytest.raises(RuntimeError) as failed:
        train("mlp", small_disk, datasets, checkpoint_seconds=0.0)
    assert re.search(r"checkpoint \d+ can't be saved, the one before is whole: .*[Nn]o space left", str(failed.value))
    assert not re.search(r"\n|\{\{|\[Op", str(failed.value))
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    capsys.readouterr()
    assert_same(train("mlp", small_disk, datasets), undisturbed["mlp"])
    said = capsys.readouterr().out
    assert "going on from the checkpoint in epoch 1" in said
    assert "damaged" not in said
