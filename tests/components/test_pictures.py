"""How a picture is decoded."""

import os
import subprocess
import sys
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.common.errors import InputError
from components.readers import pictures

ROOT = Path(__file__).parent.parent.parent
GREY = np.arange(0, 65536, 257, np.uint16).reshape(16, 16)


def saved(picture, kind, **options):
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return BytesIO(buffer.getvalue())


def refusal(file, **options):
    with pytest.raises(InputError) as refused:
        pictures.read(file, 3, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_become_8_over_the_whole_range(kind, channels):
    found = np.asarray(pictures.read(saved(Image.fromarray(GREY), kind), channels))
    expected = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(found if channels == 1 else found[..., 2], expected)


@pytest.mark.parametrize("values", [np.float32, np.int32])
def test_values_of_no_known_range_are_refused(values):
    message = refusal(saved(Image.fromarray(np.linspace(0, 9, 64).reshape(8, 8).astype(values)), "TIFF"))
    assert "values, whose range isn't known; expected 8 or 16 bits" in message


READ = """
import sys
from pathlib import Path
from components.readers import pictures
from components.common.errors import InputError
try:
    print(pictures.read(Path(sys.argv[1]), 3).getpixel((0, 0)))
except InputError as error:
    print(error)
"""


def in_a_process(path, **environment):
    """What a process prints that reads a picture, warnings too."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=60, env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.stdout


# Of EXIF's orientation: what it takes to turn a picture upright (CIPA DC-008, 4.6.5).
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_picture_is_turned_as_its_exif_says(kind, orientation):
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    found = pictures.read(saved(Image.fromarray(pixels), kind, exif=exif, **options), 3)
    turned = TURNS[orientation](pixels)
    assert np.asarray(found).shape == turned.shape
    np.testing.assert_allclose(np.asarray(found, float), turned, atol=40 if kind == "JPEG" else 0)


@pytest.mark.parametrize("program", [b"{1 pop} loop\n", b"showpage\n"])
def test_postscript_is_refused_whatever_it_is_called_and_nothing_is_started(tmp_path, program):
    header = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"
    (tmp_path / "cat.png").write_bytes(header + program)
    (tmp_path / "bin").mkdir()
    ghostscript = tmp_path / "bin" / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    ghostscript.chmod(0o755)
    printed = in_a_process(tmp_path / "cat.png", PATH=f"{tmp_path}/bin:{os.environ['PATH']}")
    assert printed == "unreadable image: not a PNG, JPEG, BMP, GIF, WEBP or TIFF\n"
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("kind", ["PPM", "ICO", "PCX", "TGA"])
def test_formats_that_were_not_chosen_are_refused(kind):
    assert "not a PNG, JPEG" in refusal(saved(Image.new("RGB", (16, 16)), kind))


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(recwarn):
    # 300 kB, and 300 MB when decoded.
    large = saved(Image.new("1", (10_000, 10_000)), "PNG")
    assert refusal(large) == "10,000 x 10,000 pixels, expected at most 80,000,000"
    assert not recwarn.list, "Pillow's own warning"
    assert pictures.read(saved(Image.new("1", (10_000, 8_000)), "PNG"), 1, (2, 2)).size == (2, 2)
    assert not recwarn.list


def test_what_a_palette_leaves_transparent_is_no_warning(tmp_path):
    picture = Image.new("P", (4, 4))
    picture.putpalette([9, 8, 7] * 256)
    picture.save(tmp_path / "palette.png", transparency=bytes(256))
    assert in_a_process(tmp_path / "palette.png") == "(9, 8, 7)\n"


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    paths = {
        "folder.png": "a folder, expected a file",
        "nowhere.png": "a link to nothing",
        "loop.png": "Too many levels of symbolic links",
        "pipe.png": "a pipe or a device, expected a file",
        "gone.png": "no such file",
        "a\0b.png": "embedded null byte",
        "x" * 300 + ".png": "File name too long",
    }
    found = {}
    reader = threading.Thread(
        target=lambda: found.update({name: refusal(tmp_path / name) for name in paths}), daemon=True
    )
    reader.start()
    reader.join(60)
    assert found == {name: f"unreadable image: {reason}" for name, reason in paths.items()}
    assert "a pipe or a device" in refusal(Path("/dev/zero"))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"])
def test_a_file_of_noise_is_one_line(kind):
    """Whatever bytes are changed, a picture is read or refused in a line."""
    rng = np.random.default_rng(0)
    whole = saved(Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8)), kind).getvalue()
    refused = 0
    for _ in range(200):
        data = bytearray(whole)
        for place in rng.integers(0, min(len(data), 300), 4):
            data[place] = rng.integers(0, 256)
        try:
            assert pictures.read(BytesIO(bytes(data)), 3, (4, 4)).size == (4, 4)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 5
