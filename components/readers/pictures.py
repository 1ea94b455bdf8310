"""Read a picture, the same way for training and for predicting."""

import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from components.common.errors import InputError
from components.common.files import not_a_file

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
# Pillow reads these by itself. For an EPS, whatever the file is called, it would start Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
# Of a picture that is read, and of the height and the width that it is resized to.
MOST_PIXELS = 80_000_000
LONGEST_SIDE = 4096
_16_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
_TIFF_BITS = 258

# A picture is read or refused; what Pillow warns of besides (a palette, an odd tag) is nothing to act upon.
warnings.filterwarnings("ignore", module=r"PIL\.")
# Ours holds instead, which says so in a line.
Pillow.MAX_IMAGE_PIXELS = None


def read(file: Path | BytesIO, channels: int, size: tuple[int, int] | None = None) -> Pillow.Image:
    """Decode a picture: the first one of a file that has several, turned as its EXIF orientation says.

    Values of 16 bits become 8 over the whole range; transparency is left out.

    Args:
        file: The file, or its bytes.
        channels: 1 for grey, 3 for colour.
        size: Height and width to resize to; None leaves it as it is.

    Returns:
        A picture of mode L or RGB.

    Raises:
        InputError: It can't be decoded, has too many pixels, or values of no known range; the message doesn't name the
            file.
    """
    if isinstance(file, Path) and (reason := not_a_file(file)):
        raise InputError(f"unreadable image: {reason}")
    try:
        with Pillow.open(file, formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise InputError(f"{opened.height:,} x {opened.width:,} pixels, expected at most {MOST_PIXELS:,}")
            ImageOps.exif_transpose(opened, in_place=True)
            picture = _of_8_bits(opened).convert("L" if channels == 1 else "RGB")
            return picture if size is None else resized(picture, size)
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"unreadable image: not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]}") from None
    except MemoryError:
        raise
    except Exception as error:  # a broken file leads a decoder to any of them
        raise InputError(f"unreadable image: {' '.join(str(error).split()) or type(error).__name__}") from None


def resized(picture: Pillow.Image, size: tuple[int, int]) -> Pillow.Image:
    """Resize a picture to a height and a width."""
    return picture.resize(size[::-1])


def _of_8_bits(picture: Pillow.Image) -> Pillow.Image:
    """A picture whose values are of 0 to 255, which `convert` would cut off there."""
    if picture.mode in ("I", "F"):
        kind = "floating-point" if picture.mode == "F" else "32-bit or signed"
        raise InputError(f"{kind} values, whose range isn't known; expected 8 or 16 bits")
    if picture.mode not in _16_BITS:
        return picture
    if getattr(picture, "tag_v2", {}).get(_TIFF_BITS) == (12,):
        raise InputError("values of 12 bits, expected 8 or 16")
    return Pillow.fromarray(((np.asarray(picture).astype(np.uint32) + 128) // 257).astype(np.uint8))
