import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets
from pydantic import ValidationError
from reading import assert_refused, builder, decoded

from components.common.errors import InputError
from components.common.spec import ImageOptions
from components.sources import tfds


def test_tfds_images_are_those_that_tfds_gives():
    images = tfds.images(builder(), ImageOptions(use=0.001))
    assert images.shape == (28, 28, 1)
    assert len(images.classes) == 10
    parts = {"train": "train[:55]", "validation": "train[55:60]", "test": "test[:10]"}
    for split, instruction in parts.items():
        expected = list(tensorflow_datasets.as_numpy(builder().as_dataset(split=instruction)))
        found = list(images.splits[split]())
        assert [label for _, label in found] == [int(example["label"]) for example in expected]
        for (data, _), example in zip(found, expected, strict=True):
            assert (decoded(data) == example["image"][..., 0]).all()


def test_tfds_images_are_resized():
    images = tfds.images(builder(), ImageOptions(use=0.0002), 14, 10)
    assert images.shape == (14, 10, 1)
    found = [decoded(data) for make in images.splits.values() for data, _ in make()]
    assert len(found) == 14
    assert {pixels.shape for pixels in found} == {(14, 10)}


def test_a_share_too_small_for_an_image_takes_no_more_than_asked():
    try:
        train = tfds.images(builder(), ImageOptions(use=1e-6)).splits["train"]
        used = list(itertools.islice(train(), 5))
    except InputError:
        return
    assert len(used) <= 1


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"train": 120, "test": 7}, {"train": (0, 110), "validation": (110, 120), "test": (0, 7)}),
        ({"train": 120}, {"train": (0, 94), "validation": (94, 102), "test": (102, 120)}),
    ],
    ids=["test split of its own", "test split cut off"],
)
def test_splits_of_a_tfds_data_set_are_disjoint(sizes, expected):
    found = tfds.slices(sizes, ImageOptions(), 0.15)
    for split, (first, end) in expected.items():
        of = "test" if split == "test" and "test" in sizes else "train"
        assert found[split] in (f"{of}[{first}:{end}]", f"{of}[:{end}]" if first == 0 else None)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"name": "fashion_mnst"}, ["fashion_mnst", "did you mean 'fashion_mnist'?"]),
        ({"name": "qqqqqqqq"}, ["qqqqqqqq", "others"]),
        ({"name": "mnist", "height": 14}, ["mnist", "both height and width"]),
        ({"name": "mnist", "width": 14}, ["mnist", "both height and width"]),
        ({"name": ""}, ["name"]),
        ({"name": "a b"}, ["a b"]),
        ({"name": "cifar10/none"}, ["cifar10/none"]),
    ],
    ids=["misspelt", "nothing similar", "no width", "no height", "empty name", "a space", "unknown config"],
)
def test_bad_tfds_options_are_refused(options, parts):
    assert_refused(lambda: tfds.check(tfds.Options(**options)), *parts)


@pytest.mark.parametrize("name", ["huggingface:mnist", "kaggle:mnist", "mlds:x/y", ":mnist"])
def test_community_data_sets_whose_code_tfds_would_run_are_refused(name):
    with pytest.raises(ValidationError, match="name of TFDS' own data sets, which have no ':'"):
        tfds.Options(name=name)


def test_a_tfds_data_set_is_fetched_before_the_run_or_refused(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    tfds.fetch(tfds.Options(name="fashion_mnist"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path))
    # Its archives have to be fetched by hand.
    name = "imagenet2012_real"
    assert_refused(lambda: tfds.fetch(tfds.Options(name=name)), f"tfds data set {name} can't be prepared", "anual")
    assert list((tmp_path / "temporary").iterdir()) == [], "TFDS made a directory there for what it asked its bucket"


def fake_builder(features, keys=("image", "label"), splits=("train",)):
    features = tensorflow_datasets.features.FeaturesDict(features)
    splits = dict.fromkeys(splits, SimpleNamespace(num_examples=12))
    return SimpleNamespace(
        info=SimpleNamespace(full_name="fake/1.0.0", features=features, supervised_keys=keys, splits=splits)
    )


def image(*shape):
    return tensorflow_datasets.features.Image(shape=shape)


LABEL = tensorflow_datasets.features.ClassLabel(num_classes=2)
TEXT = tensorflow_datasets.features.Text()


@pytest.mark.parametrize(
    ("fake", "part"),
    [
        (fake_builder({"text": TEXT, "label": LABEL}, ("text", "label")), "not one of images"),
        (fake_builder({"image": image(4, 4, 3), "label": TEXT}), "not one of images"),
        (fake_builder({"image": image(4, 4, 3), "label": LABEL}, None), "not one of images"),
        (fake_builder({"image": image(4, 4, 3), "label": LABEL}, splits=["test"]), "no train split"),
        (fake_builder({"image": image(None, None, 3), "label": LABEL}), "give height and width"),
        (fake_builder({"image": image(4, 4, 4), "label": LABEL}), "4 channels"),
    ],
    ids=["text", "no label", "no keys", "no train split", "several sizes", "four channels"],
)
def test_tfds_data_sets_that_are_not_labelled_images_are_refused(fake, part):
    assert_refused(lambda: tfds.images(fake, ImageOptions()), "fake/1.0.0", part)


@pytest.mark.parametrize("name", ["height", "width"])
def test_a_size_beyond_the_limit_is_refused(name):
    with pytest.raises(ValidationError, match="less than or equal to 4096"):
        tfds.Options(**{"name": "cifar10", "height": 8, "width": 8, name: 1_000_000_000})


def test_classes_whose_names_are_known_when_the_data_set_is_prepared_have_them(tmp_path):
    """As in cifar10: the class of the builder has numbers alone."""
    with tensorflow_datasets.core.registered.skip_registration():

        class Pets(tensorflow_datasets.core.GeneratorBasedBuilder):
            VERSION = tensorflow_datasets.core.Version("1.0.0")

            def _info(self):
                label = tensorflow_datasets.features.ClassLabel(num_classes=2)
                features = tensorflow_datasets.features.FeaturesDict({"image": image(4, 4, 1), "label": label})
                keys = ("image", "label")
                return tensorflow_datasets.core.DatasetInfo(builder=self, features=features, supervised_keys=keys)

            def _split_generators(self, dl_manager):
                self.info.features["label"].names = ["cat", "dog"]
                return {"train": self._generate_examples()}

            def _generate_examples(self):
                for i in range(40):
                    yield i, {"image": np.full((4, 4, 1), i, np.uint8), "label": ("cat", "dog")[i % 2]}

    first = Pets(data_dir=tmp_path)
    assert first.info.features["label"].names == ["0", "1"]
    first.download_and_prepare()
    for prepared in (first, Pets(data_dir=tmp_path)):
        images = tfds.images(prepared, ImageOptions())
        assert images.classes == ["cat", "dog"]
        assert {decoded(data)[0, 0] % 2 == number for data, number in images.splits["train"]()} == {True}
