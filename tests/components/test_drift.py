"""Drift: the two measures against what is known of them, and what is found in real images and in a series."""

import json
import shutil

import numpy as np
import pytest
from scipy.stats import ks_2samp
from series_files import series_lines, write_series

from components.artifacts.training_profile import QUANTILES, distribution, image_features, load_profile
from components.common.errors import InputError
from components.data import storage
from components.drift.drift import drift
from components.drift.measure import Classes, Numbers, psi


def numbers(training, *new):
    found = Numbers(distribution(training))
    for values in new:
        found.add(values)
    return found


# The measures


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.4472, 2.0])
def test_of_a_shifted_normal_both_are_what_theory_says(shift):
    """PSI is then the square of the shift, and KS 2 F(shift / 2) - 1, with F the normal distribution."""
    from scipy.stats import norm

    generator = np.random.default_rng(0)
    training, new = generator.normal(size=200_000), generator.normal(shift, size=200_000)
    found = numbers(training, new[:70_000], new[70_000:])
    assert found.ks() == pytest.approx(2 * norm.cdf(shift / 2) - 1, abs=0.006)
    # Ten bins see a little less than the densities.
    if shift < 1:
        assert found.psi() == pytest.approx(shift**2, rel=0.1, abs=1e-3)
    else:
        assert found.psi() > 2
    assert found.mean() == pytest.approx(new.mean())


@pytest.mark.parametrize("seed", range(5))
def test_ks_is_that_of_scipy_up_to_the_quantiles_kept(seed):
    generator = np.random.default_rng(seed)
    training = generator.gamma(2, size=3000)
    for new in (generator.gamma(2.2, size=500), generator.uniform(-1, 9, 777), training[:100], np.full(10, 2.0)):
        exact = ks_2samp(training, new).statistic
        assert exact - 1 / (QUANTILES - 1) - 1e-9 <= numbers(training, new).ks() <= exact + 1e-9


@pytest.mark.parametrize("new", [[0] * 50 + [1] * 50, [0] * 100, [1] * 3, [2] * 100, [0.5] * 100, [-1] * 10 + [0] * 10])
def test_ks_of_few_different_values_is_exact(new):
    training = np.array([0] * 70 + [1] * 30)
    assert numbers(training, np.array(new)).ks() == pytest.approx(ks_2samp(training, new).statistic)


def test_psi_of_counts_is_the_sum_that_defines_it():
    shares, counts = [0.5, 0.3, 0.2], [4000, 4000, 2000]
    expected = (0.5 - 0.4) * np.log(0.5 / 0.4) + (0.3 - 0.4) * np.log(0.3 / 0.4)
    assert psi(shares, counts) == pytest.approx(expected, rel=1e-3)
    assert psi(shares, [5000, 3000, 2000]) == pytest.approx(0, abs=1e-6)
    # An empty bin counts, and is not infinite, on either side.
    assert 0.3 < psi([0.1, 0.9], [0, 1000]) < 1
    assert 0.3 < psi([0.0, 1.0], [100, 900]) < 2


def test_psi_of_a_column_of_few_values():
    training = np.array([0] * 70 + [1] * 30)
    assert numbers(training, training).psi() == pytest.approx(0, abs=1e-3)
    assert numbers(training, np.array([0] * 30 + [1] * 70)).psi() == pytest.approx(0.4 * np.log(7 / 3) * 2, rel=0.02)
    constant = numbers(np.full(50, 3.0), np.full(50, 4.0))
    assert (constant.psi(), constant.ks()) == (0, 1), "a constant has one bin: KS alone sees it"


def test_values_beyond_the_training_data_are_seen():
    training = np.random.default_rng(0).uniform(size=1000)
    for new in (training + 5, training - 5):
        found = numbers(training, new)
        assert found.ks() == pytest.approx(1)
        assert found.psi() > 1


def test_the_class_that_moved_most_is_named():
    found = Classes({"bag": 0.5, "coat": 0.5, "boot": 0.0})
    found.add(["coat"] * 80 + ["bag"] * 10 + ["boot"] * 10)
    assert found.largest_change() == ("bag", 0.5, 0.1)
    assert found.psi() > 0.2


def test_image_features_are_what_their_names_say():
    black, white = np.zeros((4, 4, 1), np.uint8), np.full((4, 4, 1), 255, np.uint8)
    board = (np.indices((4, 4)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None]
    halves = np.repeat(np.array([0, 0, 255, 255], np.uint8)[None, :, None], 4, axis=0)
    found = image_features(np.stack([black, white, board, halves]))
    np.testing.assert_allclose(found["brightness"], [0, 1, 0.5, 0.5])
    np.testing.assert_allclose(found["contrast"], [0, 0, 0.5, 0.5])
    np.testing.assert_allclose(found["edges"], [0, 0, 1, 4 / 24])
    assert image_features(np.zeros((2, 1, 1, 3), np.uint8))["edges"].tolist() == [0, 0]


# New data


@pytest.fixture(scope="module")
def test_images(exports):
    """Images and labels of the test split."""
    return storage.load_images(exports["fashion"].dataset, exports["fashion"].info, "test")


def idx_file(path, images):
    path.write_bytes(b"\x00\x00\x08\x03" + np.array(images.shape[:3], ">u4").tobytes() + images.tobytes())
    return str(path)


def test_the_reference_is_of_the_training_split_alone(exports):
    info = exports["fashion"].info
    reference = load_profile(exports["fashion"].model, info)
    assert reference.examples == info.records["train"]
    images, _ = storage.load_images(exports["fashion"].dataset, info, "train")
    assert reference.numbers["brightness"].mean == pytest.approx(images.mean() / 255, rel=1e-4)
    assert sum(reference.classes.values()) == pytest.approx(1)
    told = exports["told"]
    reference, rows = load_profile(told.model, told.info), storage.load_rows(told.dataset, told.info, "train")
    assert reference.examples == len(rows)
    assert list(reference.numbers) == ["load", "temp", "holiday"]
    assert reference.numbers["temp"].values[-1] == rows[:, 1].max()


def test_the_test_split_has_not_drifted(exports, test_images, tmp_path):
    found = drift(str(exports["fashion"].model), idx_file(tmp_path / "x-idx3-ubyte", test_images[0]), 0.2)
    assert (found.examples, found.failed, found.drifted()) == (200, 0, [])


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        (lambda x: np.minimum(x.astype(int) + 60, 255).astype(np.uint8), "brightness"),
        (lambda x: (x // 3).astype(np.uint8), "contrast"),
        (lambda x: np.random.default_rng(0).permuted(x, axis=2), "edges"),
    ],
)
def test_changed_images_have_drifted(exports, test_images, tmp_path, change, moved):
    found = drift(str(exports["fashion"].model), idx_file(tmp_path / "x-idx3-ubyte", change(test_images[0])), 0.2)
    assert moved in found.drifted()
    if moved == "edges":
        assert "brightness" not in found.drifted(), "the same pixels in another order"


def test_other_classes_than_before_are_a_drift(exports, test_images, tmp_path):
    images, labels = test_images
    trousers = np.concatenate([images[labels == 1]] * 20)
    found = drift(str(exports["fashion"].model), idx_file(tmp_path / "x-idx3-ubyte", trousers), 0.2)
    moved = found.features["predicted class"]
    assert "predicted class" in found.drifted()
    assert (moved.note, moved.ks) == ("Trouser", None)
    assert moved.training < 0.2 < 0.5 < moved.new


def test_the_shifted_column_is_named_and_no_other(exports, tmp_path):
    model = str(exports["told"].model)
    same = write_series(tmp_path / "same.csv", series_lines(24 * 21, first=24 * 7))
    assert drift(model, str(same), 0.2).drifted() == []
    warmer = write_series(tmp_path / "warmer.csv", series_lines(24 * 21, first=24 * 7, shift=4.0))
    found = drift(model, str(warmer), 0.2)
    assert found.drifted() == ["temp"]
    assert found.features["temp"].new - found.features["temp"].training == pytest.approx(4, abs=0.3)
    assert drift(model, str(warmer), 100).drifted() == []


def test_a_constant_column_that_is_none_any_more_has_drifted(exports, tmp_path):
    shutil.copytree(exports["told"].model, tmp_path / "model")
    reference = json.loads((tmp_path / "model" / "reference.json").read_text())
    reference["numbers"]["holiday"] = {"values": [0.0], "below": [0.0], "up_to": [1.0], "mean": 0.0}
    (tmp_path / "model" / "reference.json").write_text(json.dumps(reference))
    source = write_series(tmp_path / "x.csv", series_lines(24 * 21))
    found = drift(str(tmp_path / "model"), str(source), 0.2)
    assert found.drifted() == ["holiday"]
    assert found.features["holiday"].ks == pytest.approx(2 / 7)
    assert found.features["holiday"].psi == 0


def test_rows_of_the_future_and_bad_rows_are_left_out(exports, tmp_path):
    rows = list(series_lines(200))
    more = write_series(tmp_path / "x.csv", [*rows[:100], "x,y", *rows[100:], "2030-01-01,,,1"])
    plain = drift(str(exports["told"].model), str(write_series(tmp_path / "y.csv", rows)), 0.2)
    found = drift(str(exports["told"].model), str(more), 0.2)
    assert (found.examples, found.failed, found.features) == (200, 1, plain.features)


def test_missing_values_are_a_drift_of_their_own(exports, tmp_path):
    """Filled ones and lost rows count, each column by itself; the share in the training is that of the description."""
    shutil.copytree(exports["told"].model, tmp_path / "model")
    about = json.loads((tmp_path / "model" / "dataset.json").read_text())
    about |= {"fill": {"method": "linear", "at_most": 3}, "filled": {"load": 0, "temp": 0, "holiday": 0}}
    (tmp_path / "model" / "dataset.json").write_text(json.dumps(about))
    rows = [line.split(",") for line in series_lines(24 * 21)]
    whole = write_series(tmp_path / "whole.csv", [",".join(row) for row in rows])
    assert not any("missing" in name for name in drift(str(tmp_path / "model"), str(whole), 0.2).features)
    for i, row in enumerate(rows):
        if (
            i % 10 in (2, 3, 4) and i < 500
        ) or 101 <= i < 109:  # three are filled, and of longer gaps the rows are lost
            row[1] = ""
        if i == 50:
            row[2] = ""
    count = sum(not row[1] for row in rows)
    found = drift(str(tmp_path / "model"), str(write_series(tmp_path / "x.csv", map(",".join, rows))), 0.2)
    assert found.missing == {"load": count, "temp": 1}
    assert found.drifted() == ["load, missing"]
    feature = found.features["load, missing"]
    assert (feature.training, feature.new) == (0, pytest.approx(count / len(rows)))
    assert found.examples == len(rows) - 8


@pytest.mark.parametrize("count", [0, 99])
def test_of_too_few_examples_nothing_is_said(exports, test_images, tmp_path, count):
    source = idx_file(tmp_path / "x-idx3-ubyte", test_images[0][:count])
    with pytest.raises(InputError, match=f"{count} examples, expected 100 or more"):
        drift(str(exports["fashion"].model), source, 0.2)
    (tmp_path / "x.csv").write_text("time,load,temp\n2024-01-01,1,2\n")
    with pytest.raises(InputError, match=r"0 examples.*1 can't be read, x.csv:1: no column 'holiday'"):
        drift(str(exports["told"].model), str(tmp_path / "x.csv"), 0.2)


def test_a_model_without_a_reference_or_that_was_changed_is_refused(registry, exports, tmp_path):
    source = str(exports["fashion"].dataset)
    (registry / "reference.json").write_text(json.dumps({}))
    with pytest.raises(InputError, match=r"reference\.json: changed after the model was registered"):
        drift(str(registry), source, 0.2)
    (registry / "registration.json").unlink()
    with pytest.raises(InputError, match=r"reference\.json: not a description of training data"):
        drift(str(registry), source, 0.2)
    (registry / "reference.json").unlink()
    with pytest.raises(InputError, match=r"reference\.json: No such file"):
        drift(str(registry), source, 0.2)
