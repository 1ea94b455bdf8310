"""What the tests of image sources share."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets
from PIL import Image

from components.common.errors import InputError


def builder():
    folder = Path(os.environ["TFDS_DATA_DIR"]) / "fashion_mnist"
    assert folder.is_dir(), "Fashion-MNIST isn't prepared: make data"
    return tensorflow_datasets.builder("fashion_mnist", data_dir=folder.parent)


def decoded(data):
    with Image.open(io.BytesIO(data)) as picture:
        return np.array(picture)


def assert_refused(call, *parts):
    with pytest.raises(InputError) as refused:
        call()
    message = str(refused.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message
