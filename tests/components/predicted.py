"""What the tests of predictions share: files to predict, and what was written."""

import json
import struct

from components.predict import predictions_file


def idx(images):
    """The bytes of an idx file."""
    return struct.pack(f">BBBB{images.ndim}I", 0, 0, 8, images.ndim, *images.shape) + images.tobytes()


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def reasons(output):
    return {row["id"]: row["reason"] for row in lines(predictions_file.errors_path(output))}
