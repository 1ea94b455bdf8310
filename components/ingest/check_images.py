"""Read a written data set of images once, to compute the training split's statistics and to check all splits."""

import hashlib
from pathlib import Path

import numpy as np

from components.artifacts.dataset import SPLITS, Check, ImagesInfo
from components.common.errors import InputError
from components.data.source_data import Images
from components.data.storage import read_images, record_features
from components.ingest.digest import digest

# The largest share of a split's images that may be copies of another split's. Copies make a test score too good, but a
# few are common.
MAX_OVERLAP = 0.01
# The number of such copies that a message names.
EXAMPLES = 3


def describe(data: Images, name: str, source: str, folder: Path) -> ImagesInfo:
    """Check the images and describe them.

    Raises:
        InputError: A split is empty, a class has no training image, or splits overlap by more than 1 %.
    """
    classes, channels = len(data.classes), data.shape[2]
    counts = {split: np.zeros(classes, np.int64) for split in SPLITS}
    hashes: dict[str, np.ndarray] = {}
    total, squares, pixels = np.zeros(channels, np.uint64), np.zeros(channels, np.uint64), 0
    for split in SPLITS:
        seen = []
        for images, labels in read_images(folder, split, data.shape).as_numpy_iterator():
            counts[split] += np.bincount(labels, minlength=classes)
            seen += [int.from_bytes(hashlib.blake2b(i.tobytes(), digest_size=8).digest(), "little") for i in images]
            if split == "train":
                # The sum over images comes first, which takes a tenth of the time. 255 * 255 is less than 1 << 16.
                values = images.astype(np.uint16)
                total += values.sum(axis=0).sum(axis=(0, 1))
                squares += (values * values).sum(axis=0).sum(axis=(0, 1))
                pixels += images[..., 0].size
        hashes[split] = np.array(seen, np.uint64)
    records = {split: int(counts[split].sum()) for split in SPLITS}
    mean = total / max(pixels, 1)
    std = np.sqrt(np.maximum(squares / max(pixels, 1) - mean**2, 0))
    return ImagesInfo(
        name=name,
        source=source,
        records=records,
        mean=mean.tolist(),
        std=np.where(std > 0, std, 1).tolist(),
        sha256=digest(folder, record_features(bool(data.files))),
        checks=_checks(data, name, counts, hashes),
        classes=data.classes,
        shape=list(data.shape),
        label_counts={split: counts[split].tolist() for split in SPLITS},
        resized=data.resized,
        named=bool(data.files),
    )


def _checks(data: Images, name: str, counts: dict[str, np.ndarray], hashes: dict[str, np.ndarray]) -> list[Check]:
    records = {split: int(counts[split].sum()) for split in SPLITS}
    for split in SPLITS:
        if not records[split]:
            raise InputError(f"{name}: the {split} split has no images")
    missing = [c for c, n in zip(data.classes, counts["train"], strict=True) if n == 0]
    if missing:
        raise InputError(f"{name}: no training image of class {missing[0]}")
    share = counts["train"] / records["train"]
    repeated = records["train"] - len(np.unique(hashes["train"]))
    overlaps = []

    def shown(split: str, i: int) -> str:
        return data.files[split][i] if data.files else f"{split} image {i}"

    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        common = np.isin(hashes[second], hashes[first])
        overlap = int(common.sum())
        if overlap > MAX_OVERLAP * records[second]:
            both = [
                (i, np.flatnonzero(hashes[first] == hashes[second][i])[0]) for i in np.flatnonzero(common)[:EXAMPLES]
            ]
            examples = ", ".join(f"{shown(second, i)} is {shown(first, j)}" for i, j in both)
            raise InputError(
                f"{name}: {overlap} of {records[second]} {second} images are in the {first} split too, "
                f"expected at most {MAX_OVERLAP:.0%}: {examples}{', …' if overlap > EXAMPLES else ''}"
            )
        overlaps.append(f"{overlap} of {second} in {first}")
    return [
        Check(name="counts", found=", ".join(f"{split} {records[split]}" for split in SPLITS)),
        Check(name="label range", found=f"0 to {len(data.classes) - 1} in every split"),
        Check(name="label balance", found=f"{share.min():.1%} to {share.max():.1%} of the training images"),
        Check(name="duplicates", found=f"{repeated} of {records['train']} training images"),
        Check(name="overlap between splits", found=", ".join(overlaps)),
        *data.checks,
    ]
