"""A residual network of basic blocks (He et al. 2016, arXiv:1512.03385), for pictures of 64 pixels or more."""

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from components.common.spec import MOST_LAYERS, Share, Strict, Width
from components.models import layer_sizes

if TYPE_CHECKING:
    import keras

    from components.artifacts.dataset import DatasetInfo

TASKS = ("classification",)
Blocks = Annotated[int, Field(ge=1, le=MOST_LAYERS)]


class Hyperparameters(Strict):
    """Hyperparameters of the residual network.

    Attributes:
        filters: The filters of each stage. Each stage but the first halves height and width. ResNet-18 and ResNet-34
            have [64, 128, 256, 512].
        blocks: The blocks of each stage, each of two convolutions. ResNet-18 has [2, 2, 2, 2], ResNet-34 has [3, 4, 6,
            3].
        stem: The factor by which height and width shrink before the first stage: 4 by a convolution and a maximum, as
            in ResNet; 2 by the convolution alone; 1 by neither, for pictures of 32 pixels.
        norm: The share of the moving averages of batch normalization that a step keeps. A long training can have 0.99.
        dropout: The share of values dropped before the output layer.
    """

    filters: list[Width] = Field(default=[32, 64, 128, 256], min_length=1, max_length=MOST_LAYERS)
    blocks: list[Blocks] = Field(default=[1, 1, 1, 1], min_length=1, max_length=MOST_LAYERS)
    stem: Literal[1, 2, 4] = 4
    norm: float = Field(default=0.9, ge=0, lt=1)
    dropout: Share = 0.0

    @model_validator(mode="after")
    def _check_stages(self) -> "Hyperparameters":
        if len(self.filters) != len(self.blocks):
            text = "Input should be filters and blocks of as many stages, got {filters} and {blocks}"
            raise PydanticCustomError("stages", text, {"filters": len(self.filters), "blocks": len(self.blocks)})
        return self


def sizes(shape: list[int], outputs: int, hyperparameters: Hyperparameters) -> layer_sizes.LayerSizes:
    """See `components.models.layer_sizes`."""
    height, width, before = shape
    stem = hyperparameters.stem
    side, pixels = (3 if stem == 1 else 7), math.ceil(height / min(stem, 2)) * math.ceil(width / min(stem, 2))
    height, width = math.ceil(height / stem), math.ceil(width / stem)
    first = hyperparameters.filters[0]
    found = [(side**2 * before * first, pixels * first)]
    before = first
    for stage, (filters, blocks) in enumerate(zip(hyperparameters.filters, hyperparameters.blocks, strict=True)):
        if stage:
            height, width = math.ceil(height / 2), math.ceil(width / 2)
        numbers = height * width * filters
        if stage or before != filters:
            found.append((before * filters, numbers))
        for _ in range(blocks):
            found += [(9 * before * filters, numbers), (9 * filters**2, numbers)]
            before = filters
    return [*found, *layer_sizes.dense(before, outputs)]


def build(info: "DatasetInfo", hyperparameters: Hyperparameters) -> "keras.Model":
    """Build the residual network."""
    import keras

    from components.models import layers

    def convolved(x: "keras.KerasTensor", filters: int, side: int, stride: int = 1) -> "keras.KerasTensor":
        conv = keras.layers.Conv2D(
            filters, side, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal"
        )
        return layers.batch_norm(hyperparameters.norm)(conv(x))

    inputs = layers.scaled_inputs(info)
    stem, first = hyperparameters.stem, hyperparameters.filters[0]
    x = keras.layers.ReLU()(convolved(inputs.x, first, 3 if stem == 1 else 7, min(stem, 2)))
    if stem == 4:
        x = keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)
    for stage, (filters, blocks) in enumerate(zip(hyperparameters.filters, hyperparameters.blocks, strict=True)):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = keras.layers.ReLU()(convolved(x, filters, 3, stride))
            y = convolved(y, filters, 3)
            if stride > 1 or x.shape[-1] != filters:
                x = convolved(x, filters, 1, stride)
            x = keras.layers.ReLU()(keras.layers.Add()([x, y]))
    return layers.finish(inputs, keras.layers.GlobalAveragePooling2D()(x), info, dropout=hyperparameters.dropout)
