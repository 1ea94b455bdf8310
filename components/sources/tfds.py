"""Any data set of labelled images in TensorFlow Datasets, by name, such as cifar10, eurosat/rgb or tf_flowers.

TFDS looks in $TFDS_DATA_DIR, which `make data` and `make run-local` set to data/tfds. A data set that isn't prepared
there is downloaded, and its checksums are verified.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from components.common.errors import InputError
from components.common.files import scratch_directory
from components.common.spec import Facts, ImageOptions
from components.common.words import did_you_mean
from components.data.source_data import Image, Images
from components.readers import pictures

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

TASK = "classification"
# The number of records that are parsed in parallel. With TFDS' default, which TensorFlow tunes during the pass, reading
# takes three times as long, for a record takes only a few microseconds, less than the start of a thread.
_PARSED_AHEAD = 64


def _check_name(name: str) -> str:
    """Refuse the names of community data sets, such as huggingface:x: TFDS downloads their code and runs it."""
    if ":" in name:
        raise PydanticCustomError("name", "Input should be a name of TFDS' own data sets, which have no ':'")
    return name


class Options(ImageOptions):
    """Options of a TFDS data set.

    Attributes:
        name: The data set's name in TFDS: name or name/config. Community data sets (huggingface:name) aren't read.
        height: The height that images are resized to, in pixels. It is needed where their sizes differ.
        width: The width that images are resized to, in pixels.
        test: The share of the training images that becomes the test split, where the data set has none.
    """

    name: Annotated[str, AfterValidator(_check_name)]
    height: int | None = Field(default=None, ge=1, le=pictures.LONGEST_SIDE)
    width: int | None = Field(default=None, ge=1, le=pictures.LONGEST_SIDE)
    test: float = Field(default=0.15, gt=0, lt=1)


def check(options: Options) -> Facts:
    """Look up the name.

    Raises:
        InputError: TFDS has no data set of that name, or only one of height and width is given.
    """
    import tensorflow_datasets as tfds

    if (options.height is None) != (options.width is None):
        raise InputError(f"tfds data set {options.name}: give both height and width, or neither")
    try:
        name, _, config = options.name.partition("/")
        builder = tfds.builder_cls(name)
    except (tfds.core.registered.DatasetNotFoundError, ValueError):
        names = tfds.list_builders(with_community_datasets=False)
        hint = did_you_mean(options.name, names) or f"it has {len(names)} others"
        raise InputError(f"name: TFDS has no data set {options.name}; {hint}") from None
    configs = [known.name for known in builder.BUILDER_CONFIGS]
    if config and config not in configs:
        raise InputError(
            f"name: TFDS has no data set {options.name}; configs of {name}: {', '.join(configs) or 'none'}"
        )
    shape = [options.height, options.width, 1] if options.height and options.width else None
    return Facts(fingerprint=f"{options.name} {builder.VERSION}", bytes=0, shape=shape)


def fetch(options: Options) -> None:
    """Prepare the data set in $TFDS_DATA_DIR before the run, for a task in a container can't write there.

    Raises:
        InputError: It can't be downloaded or prepared.
    """
    import tensorflow_datasets as tfds

    with preparing(f"tfds data set {options.name}"), scratch_directory():
        tfds.builder(options.name).download_and_prepare()


@contextmanager
def preparing(what: str) -> Iterator[None]:
    """Raise an `InputError` of one line where the `with` block, in which TFDS prepares a data set, raises anything.

    Args:
        what: The data set, as the line names it.
    """
    try:
        yield
    except Exception as error:  # the data set's code may raise anything
        message = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{what} can't be prepared: {message}") from None


def read(options: Options) -> Images:
    """Read the data set. Where it isn't prepared, as in a cluster, TFDS downloads it.

    Raises:
        InputError: It isn't a data set of labelled images, or the images have several sizes and none is given.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder(options.name)
    builder.download_and_prepare()
    return images(builder, options, options.height, options.width, options.test)


def images(
    builder: "tfds.core.DatasetBuilder",
    options: ImageOptions,
    height: int | None = None,
    width: int | None = None,
    test: float = 0.15,
) -> Images:
    """Read a prepared TFDS data set.

    Args:
        builder: The prepared builder.
        options: The options with the shares `validation` and `use`.
        height: The height that images are resized to, in pixels; None keeps their own.
        width: The width that images are resized to, in pixels; None keeps their own.
        test: The share of the training images that becomes the test split, where the builder has none.

    Raises:
        InputError: The data set isn't one of labelled images, or their sizes differ and none is given.
    """
    import tensorflow_datasets as tfds

    from components.data.storage import without_autotune

    name, features, keys = builder.info.full_name, builder.info.features, builder.info.supervised_keys
    image, label = (features[keys[0]], features[keys[1]]) if keys and len(keys) == 2 else (None, None)
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        raise InputError(f"TFDS data set {name} is not one of images and class labels: {', '.join(features)}")
    if "train" not in builder.info.splits:
        raise InputError(f"TFDS data set {name} has no train split; it has {', '.join(builder.info.splits)}")
    rows, columns, channels = image.shape
    if height is None and (rows is None or columns is None):
        raise InputError(f"TFDS data set {name} has images of several sizes: give height and width")
    if channels not in (1, 3):
        raise InputError(f"TFDS data set {name} has images of {channels} channels, expected 1 or 3")
    size = (height or rows, width or columns)

    def read_split(instruction: str) -> Iterator[Image]:
        split = builder.as_dataset(
            split=instruction,
            decoders={keys[0]: tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(
                interleave_cycle_length=1,
                try_autocache=False,
                num_parallel_calls_for_decode=_PARSED_AHEAD,
            ),
            batch_size=256,
        )
        for batch in without_autotune(split).as_numpy_iterator():
            for data, number in zip(batch[keys[0]].tolist(), batch[keys[1]].tolist(), strict=True):
                yield (data if size == (rows, columns) else _resized(data, *size, channels)), number

    splits = slices({s: i.num_examples for s, i in builder.info.splits.items()}, options, test)
    return Images(
        classes=list(label.names),
        shape=(*size, channels),
        splits={split: lambda text=text: read_split(text) for split, text in splits.items()},  # type: ignore[misc]
        resized=height is not None,
    )


def slices(sizes: dict[str, int], options: ImageOptions, test: float) -> dict[str, str]:
    """TFDS' slices for each split. The order in a TFDS split is already random."""
    train = round(sizes["train"] * options.use)
    if "test" in sizes:
        held_out = f"test[:{max(1, round(sizes['test'] * options.use))}]"
    else:
        first = train - max(1, round(train * test))
        held_out, train = f"train[{first}:{train}]", first
    fitted = train - max(1, round(train * options.validation))
    if fitted < 1:
        raise InputError(f"use {options.use} of {sizes['train']} images leaves none to train on")
    return {"train": f"train[:{fitted}]", "validation": f"train[{fitted}:{train}]", "test": held_out}


def _resized(data: bytes, height: int, width: int, channels: int) -> bytes:
    return pictures.png(pictures.read(io.BytesIO(data), channels, (height, width)))
