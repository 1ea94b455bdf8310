"""The golden request: test examples with the model's answers, which a served model has to give again."""

import base64
import io
from collections.abc import Callable

import numpy as np
from PIL import Image as Pillow

from components.artifacts.export import Golden

EXAMPLES = 2
# Of an image that is written as numbers; two of them are within Vertex AI's limit of 1.5 MB for a request, also in
# protocol buffers, where a number takes 11 bytes.
MOST_NUMBERS = 60_000
# Of a larger image's detail, so that its file stays small whatever is on it.
DETAIL = 64


def golden_request(examples: dict[str, np.ndarray], call: Callable[[dict[str, np.ndarray]], np.ndarray]) -> Golden:
    """Make the golden request.

    A larger image becomes a PNG file in Base64, `{"b64": …}`, as `components.serve` takes it, of less detail.

    Args:
        examples: Raw inputs by name, [examples, …].
        call: The model; gives float32 [examples, …].
    """
    asked = {name: values[:EXAMPLES] for name, values in examples.items()}
    written = {name: values.tolist() for name, values in asked.items()}
    if "image" in asked and asked["image"][0].size > MOST_NUMBERS:
        asked["image"] = np.stack([_coarse(image) for image in asked["image"]])
        written["image"] = [_file(image) for image in asked["image"]]
    instances = [{name: values[i] for name, values in written.items()} for i in range(EXAMPLES)]
    return Golden(instances=instances, predictions=call(asked).astype(float).tolist())


def _coarse(image: np.ndarray) -> np.ndarray:
    height, width, channels = image.shape
    picture = Pillow.fromarray(image[..., 0] if channels == 1 else image)
    small = picture.resize((min(width, DETAIL), min(height, DETAIL)))
    return np.asarray(small.resize((width, height), Pillow.Resampling.NEAREST)).reshape(image.shape)


def _file(image: np.ndarray) -> dict[str, str]:
    file = io.BytesIO()
    Pillow.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(file, "PNG")
    return {"b64": base64.b64encode(file.getvalue()).decode()}
