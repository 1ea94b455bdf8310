import itertools

import numpy as np
import pytest
from PIL import Image
from reading import assert_refused, decoded

from components.sources import image_folder


def write_images(root, classes, numbers, suffix="png"):
    """Write images of one colour, a different one for each number."""
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            pixels = np.full((6, 8, 3), number, np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.{suffix}")


def folder_options(root, **changes):
    return image_folder.Options(**({"path": str(root), "height": 3, "width": 5} | changes))


def numbers(images):
    """For each split the (label, number) of its images, see write_images."""
    return {
        split: [(label, int(decoded(data).flat[0])) for data, label in make()] for split, make in images.splits.items()
    }


def test_image_folder_reads_classes_sizes_and_labels(tmp_path):
    write_images(tmp_path, ["dog", "cat"], range(10))
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "readme.txt").write_text("not a class")
    images = image_folder.read(folder_options(tmp_path))
    assert images.classes == ["cat", "dog"]
    assert images.shape == (3, 5, 3)
    found = numbers(images)
    assert sorted(itertools.chain(*found.values())) == [(label, i) for label in (0, 1) for i in range(10)]
    for make in images.splits.values():
        for data, _ in make():
            assert data.startswith(b"\x89PNG")
            assert decoded(data).shape == (3, 5, 3)


def test_image_folder_splits_are_disjoint_and_hold_every_class(tmp_path):
    write_images(tmp_path, "ab", range(30))
    found = numbers(image_folder.read(folder_options(tmp_path, test=0.2, validation=0.25)))
    assert sum(len(part) for part in found.values()) == len(set(itertools.chain(*found.values()))) == 60
    for part in found.values():
        assert {label for label, _ in part} == {0, 1}


def test_image_folder_gives_the_same_order_again(tmp_path):
    write_images(tmp_path, "ab", range(8))
    assert numbers(image_folder.read(folder_options(tmp_path))) == numbers(image_folder.read(folder_options(tmp_path)))


def test_an_image_stays_in_its_split_when_others_are_added(tmp_path):
    write_images(tmp_path, "ab", range(60))
    before = numbers(image_folder.read(folder_options(tmp_path)))
    write_images(tmp_path, "ab", range(60, 120))
    after = numbers(image_folder.read(folder_options(tmp_path)))
    for split, part in before.items():
        assert set(part) <= set(after[split])


def test_the_smallest_class_has_an_image_in_each_split(tmp_path):
    write_images(tmp_path, "ab", range(3))
    found = numbers(image_folder.read(folder_options(tmp_path, use=0.01)))
    assert {split: len(part) for split, part in found.items()} == {"train": 2, "validation": 2, "test": 2}


def test_use_takes_a_share_of_each_class(tmp_path):
    write_images(tmp_path, "ab", range(60))
    found = numbers(image_folder.read(folder_options(tmp_path, use=0.5)))
    labels = [label for label, _ in itertools.chain(*found.values())]
    assert all(15 < labels.count(label) < 45 for label in (0, 1))


@pytest.mark.parametrize("suffix", ["png", "jpg", "BMP", "gif", "webp", "tiff"])
def test_grey_images_of_every_format(tmp_path, suffix):
    write_images(tmp_path, "ab", (0, 100, 200), suffix)
    chosen = folder_options(tmp_path, channels=1)
    image_folder.check(chosen)
    images = image_folder.read(chosen)
    assert images.shape == (3, 5, 1)
    found = [decoded(data) for make in images.splits.values() for data, _ in make()]
    assert len(found) == 6
    assert all(pixels.shape == (3, 5) for pixels in found)


def test_transparency_and_palettes_become_three_channels(tmp_path):
    write_images(tmp_path, "ab", range(3))
    for i, mode in enumerate(("RGBA", "P", "LA")):
        Image.new(mode, (7, 7)).save(tmp_path / "a" / f"{i}.png")
    images = image_folder.read(folder_options(tmp_path))
    assert {decoded(data).shape for make in images.splits.values() for data, _ in make()} == {(3, 5, 3)}


def test_resizing_keeps_what_is_left_and_right(tmp_path):
    write_images(tmp_path, "ab", range(3))
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    for i in range(3):
        Image.fromarray(pixels).save(tmp_path / "a" / f"{i}.png")
    images = image_folder.read(folder_options(tmp_path, height=2, width=4))
    for make in images.splits.values():
        found = next(decoded(data) for data, label in make() if label == 0)
        assert (found[:, 0] < 50).all()
        assert (found[:, 3] > 205).all()


def test_the_fingerprint_follows_names_and_content(tmp_path):
    write_images(tmp_path, "ab", range(4))
    chosen = folder_options(tmp_path)
    first = image_folder.check(chosen)
    assert image_folder.check(chosen).fingerprint == first.fingerprint
    assert first.bytes >= 8 * 3 * 5 * 3
    (tmp_path / "a" / "0.png").rename(tmp_path / "a" / "9.png")
    renamed = image_folder.check(chosen).fingerprint
    (tmp_path / "a" / "9.png").write_bytes((tmp_path / "a" / "1.png").read_bytes())
    assert len({first.fingerprint, renamed, image_folder.check(chosen).fingerprint}) == 3


@pytest.mark.parametrize("content", [b"", b"not an image at all", b"\x89PNG\r\n\x1a\n"])
def test_an_unreadable_image_is_named(tmp_path, content):
    write_images(tmp_path, "ab", range(3))
    (tmp_path / "b" / "1.png").write_bytes(content)
    assert_refused(lambda: image_folder.check(folder_options(tmp_path)), tmp_path / "b" / "1.png", "unreadable image")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp"])
def test_a_truncated_image_is_named(tmp_path, suffix):
    write_images(tmp_path, "ab", range(3))
    path = tmp_path / "a" / f"cut.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert_refused(lambda: image_folder.check(folder_options(tmp_path)), path, "unreadable image")


def test_a_folder_with_an_images_name_is_refused(tmp_path):
    write_images(tmp_path, "ab", range(3))
    (tmp_path / "a" / "folder.png").mkdir()
    assert_refused(lambda: image_folder.check(folder_options(tmp_path)), tmp_path / "a" / "folder.png")


def test_too_few_images_classes_and_folders_are_refused(tmp_path):
    def check():
        image_folder.check(folder_options(tmp_path / "root"))

    assert_refused(check, tmp_path / "root", "no such folder")
    write_images(tmp_path / "root", "a", range(3))
    assert_refused(check, tmp_path / "root", "1 folders", "2 or more")
    write_images(tmp_path / "root", "b", range(2))
    assert_refused(check, tmp_path / "root" / "b", "2 images", "3 or more")
    write_images(tmp_path / "root", "b", range(3))
    check()


def test_two_channels_are_refused(tmp_path):
    write_images(tmp_path, "ab", range(3))
    assert_refused(lambda: image_folder.check(folder_options(tmp_path, channels=2)), tmp_path, "channels is 2")
