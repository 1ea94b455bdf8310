"""Read a picture, the same way for training and for predicting."""

from io import BytesIO
from pathlib import Path

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from components.errors import InputError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}


def read(file: Path | BytesIO, channels: int, size: tuple[int, int] | None = None) -> Pillow.Image:
    """Decode a picture.

    Args:
        file: The file, or its bytes.
        channels: 1 for grey, 3 for colour.
        size: Height and width to resize to; None leaves it as it is.

    Raises:
        InputError: It can't be decoded; the message doesn't name the file.
    """
    try:
        with Pillow.open(file) as opened:
            picture = opened.convert("L" if channels == 1 else "RGB")
            return picture if size is None else picture.resize(size[::-1])
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        reason = "not an image" if isinstance(error, UnidentifiedImageError) else error
        raise InputError(f"unreadable image: {reason}") from None
