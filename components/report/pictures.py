"""Images of a data set as small PNGs that are part of the page."""

import base64
import io

import numpy as np
from PIL import Image

from components.artifacts.dataset import ImagesInfo
from components.data import storage

# Of each class.
EXAMPLES = 8
# Classes that examples are shown of.
CLASSES = 40
LARGEST = 64


def examples(folder: str, info: ImagesInfo) -> list[str]:
    """The first training images of each class, side by side, as data URIs."""
    found: list[list[np.ndarray]] = [[] for _ in info.classes[:CLASSES]]
    wanted = [min(EXAMPLES, count) for count in info.label_counts["train"][:CLASSES]]
    for images, labels in storage.read_images(folder, "train", info.shape).as_numpy_iterator():
        for image, label in zip(images, labels, strict=True):
            if label < CLASSES and len(found[label]) < wanted[label]:
                found[label].append(image)
        if all(len(own) == count for own, count in zip(found, wanted, strict=True)):
            break
    return [_uri(np.concatenate(own, axis=1), LARGEST * len(own)) if own else "" for own in found]


def of_test(folder: str, info: ImagesInfo, places: set[int]) -> dict[int, str]:
    """Images at some places of the test split, as data URIs."""
    found, first = {}, 0
    for images, _ in storage.read_images(folder, "test", info.shape).as_numpy_iterator():
        for place in places:
            if first <= place < first + len(images):
                found[place] = _uri(images[place - first], LARGEST)
        first += len(images)
        if len(found) == len(places):
            break
    return found


def _uri(image: np.ndarray, widest: int) -> str:
    """An image uint8 [height, width, channels] as a data URI."""
    made = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image[:, :, :3])
    made.thumbnail((widest, LARGEST))
    png = io.BytesIO()
    made.save(png, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
