import itertools
import os

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from reading import assert_refused, decoded

from components.common.errors import InputError
from components.sources import image_folder


def write_images(root, classes, numbers, suffix="png"):
    """Write images of one colour, a different one for each number and for each class."""
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            pixels = np.full((6, 8, 3), number, np.uint8)
            pixels[..., 2] = 37 * ord(name[0]) % 256
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


def test_image_folder_splits_are_disjoint_and_hold_every_class(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folder, "READ_TOGETHER", 7)
    write_images(tmp_path, "ab", range(30))
    found = numbers(image_folder.read(folder_options(tmp_path, test=0.2, validation=0.25)))
    assert sum(len(part) for part in found.values()) == len(set(itertools.chain(*found.values()))) == 60
    for part in found.values():
        assert {label for label, _ in part} == {0, 1}


def test_image_folder_gives_the_same_order_again(tmp_path):
    write_images(tmp_path, "ab", range(8))
    assert numbers(image_folder.read(folder_options(tmp_path))) == numbers(image_folder.read(folder_options(tmp_path)))


def test_images_mostly_stay_in_their_split_when_others_are_added(tmp_path):
    write_images(tmp_path, "ab", range(60))
    before = numbers(image_folder.read(folder_options(tmp_path)))
    write_images(tmp_path, "ab", range(60, 120))
    after = numbers(image_folder.read(folder_options(tmp_path)))
    stayed = sum(len(set(part) & set(after[split])) for split, part in before.items())
    assert stayed > 0.8 * 120, "by chance it would be 64 %"


@pytest.mark.parametrize("use", [1.0, 0.5])
def test_each_class_is_divided_in_the_same_shares(tmp_path, use):
    write_images(tmp_path, "a", range(200))
    write_images(tmp_path, "bcd", range(40))
    images = image_folder.read(folder_options(tmp_path, test=0.2, validation=0.25, use=use))
    for split, share in {"test": 0.2, "validation": 0.2, "train": 0.6}.items():
        labels = [label for _, label in images.splits[split]()]
        assert [labels.count(label) for label in range(4)] == [round(use * share * n) for n in (200, 40, 40, 40)]


def test_the_smallest_class_has_an_image_in_each_split(tmp_path):
    write_images(tmp_path, "ab", range(3))
    found = numbers(image_folder.read(folder_options(tmp_path, use=0.01)))
    assert {split: len(part) for split, part in found.items()} == {"train": 2, "validation": 2, "test": 2}


def test_use_takes_a_share_of_each_class(tmp_path):
    write_images(tmp_path, "ab", range(60))
    found = numbers(image_folder.read(folder_options(tmp_path, use=0.5)))
    labels = [label for label, _ in itertools.chain(*found.values())]
    assert [labels.count(label) for label in (0, 1)] == [30, 30]


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
    for i, (mode, colour) in enumerate({"RGBA": (9, 8, 7, 6), "P": 0, "LA": (3, 2)}.items()):
        Image.new(mode, (7, 7), colour).save(tmp_path / "a" / f"{i}.png")
    images = image_folder.read(folder_options(tmp_path))
    assert {decoded(data).shape for make in images.splits.values() for data, _ in make()} == {(3, 5, 3)}


def test_resizing_keeps_what_is_left_and_right(tmp_path):
    write_images(tmp_path, "ab", range(3))
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    for i in range(3):
        Image.fromarray(pixels - (pixels > 0) * np.uint8(i)).save(tmp_path / "a" / f"{i}.png")
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


def test_pictures_in_subfolders_of_a_class_are_its_pictures(tmp_path):
    write_images(tmp_path, "ab", range(4))
    write_images(tmp_path / "a", ["2021", "folder.png"], range(10, 15))
    write_images(tmp_path / "a" / "2021", ["deeper"], range(20, 22))
    write_images(tmp_path / "a", [".hidden"], range(30, 33))
    for name in ("2021", "folder.png"):  # the same under one label is no problem
        write_images(tmp_path / "a", [name], [40])
    names = {f"{folder}/{i}.png" for folder, of in {
        "a": range(4), "b": range(4), "a/2021": [*range(10, 15), 40], "a/folder.png": [*range(10, 15), 40],
        "a/2021/deeper": range(20, 22),
    }.items() for i in of}  # fmt: skip
    before = image_folder.check(folder_options(tmp_path))
    images = image_folder.read(folder_options(tmp_path))
    assert images.classes == ["a", "b"]
    assert set(splits_of(images)) == names
    (tmp_path / "a" / "2021" / "deeper").rename(tmp_path / "b" / "deeper")
    assert image_folder.check(folder_options(tmp_path)).fingerprint != before.fingerprint


def test_the_same_image_in_subfolders_of_two_classes_has_two_labels(tmp_path):
    write_images(tmp_path, ["cat", "dog"], range(6))
    write_images(tmp_path / "cat", ["new"], [9])
    (tmp_path / "dog" / "new").mkdir()
    write_copies(tmp_path, {"dog/new/9.png": "cat/new/9.png"})
    assert_refused(
        lambda: image_folder.check(folder_options(tmp_path)), "cat/new/9.png", "dog/new/9.png", "different labels"
    )


def test_a_link_to_a_folder_is_named_and_not_followed(tmp_path):
    write_images(tmp_path, "ab", range(3))
    (tmp_path / "a" / "circle").symlink_to(tmp_path / "a")
    assert_refused(lambda: image_folder.check(folder_options(tmp_path)), tmp_path / "a" / "circle", "link to a folder")
    assert image_folder.check(folder_options(tmp_path, skip_unreadable=True)).classes == ["a", "b"]


def test_folders_of_splits_are_no_classes(tmp_path):
    for i, split in enumerate(("train", "Val", "test")):
        write_images(tmp_path / split, ["cat", "dog"], range(10 * i, 10 * i + 3))
    assert_refused(lambda: image_folder.check(folder_options(tmp_path)), "folders of splits (Val, test, train)")


def test_too_few_images_classes_and_folders_are_refused(tmp_path):
    def check():
        image_folder.check(folder_options(tmp_path / "root"))

    assert_refused(check, tmp_path / "root", "no such folder")
    (tmp_path / "root").touch()
    assert_refused(check, tmp_path / "root", "a file, expected a folder")
    (tmp_path / "root").unlink()
    write_images(tmp_path / "root", "a", range(3))
    assert_refused(check, tmp_path / "root", "1 folder,", "2 or more")
    write_images(tmp_path / "root", "b", range(2))
    assert_refused(check, tmp_path / "root" / "b", "2 images", "3 or more")
    write_images(tmp_path / "root", "b", range(3))
    check()


def test_two_channels_are_refused(tmp_path):
    write_images(tmp_path, "ab", range(3))
    assert_refused(lambda: image_folder.check(folder_options(tmp_path, channels=2)), tmp_path, "channels is 2")


# The same image twice


def write_copies(root, copies):
    """Give pictures other names: copies of {"<class>/<name>": "<class>/<name>"}."""
    for copy, original in copies.items():
        (root / copy).parent.mkdir(exist_ok=True)
        (root / copy).write_bytes((root / original).read_bytes())


def splits_of(images):
    """The split of each file."""
    return {name: split for split, names in images.files.items() for name in names}


def test_copies_under_one_label_lie_in_one_split(tmp_path):
    write_images(tmp_path, "ab", range(20))
    copies = {f"a/{i}-again-{j}.png": f"a/{i}.png" for i in range(20) for j in range(2)}
    write_copies(tmp_path, copies)
    # The same pixels in another file.
    for i in range(20):
        Image.open(tmp_path / "b" / f"{i}.png").save(tmp_path / "b" / f"{i}.bmp")
    images = image_folder.read(folder_options(tmp_path))
    found = splits_of(images)
    assert len(found) == 20 + 40 + 20 + 20
    assert all(found[copy] == found[original] for copy, original in copies.items())
    assert all(found[f"b/{i}.bmp"] == found[f"b/{i}.png"] for i in range(20))
    assert set(found.values()) == {"train", "validation", "test"}


def test_the_same_image_under_two_labels_is_named_with_both_files(tmp_path):
    write_images(tmp_path, ["cat", "dog", "eel"], range(6))
    write_copies(tmp_path, {"dog/copy.png": "cat/3.png", "eel/copy.png": "cat/3.png", "dog/eel.png": "eel/0.png"})
    with pytest.raises(InputError) as refused:
        image_folder.check(folder_options(tmp_path))
    end = ": the same image under different labels; duplicates: drop or keep"
    assert list(refused.value.problems) == [
        f"{tmp_path}/cat/3.png and {tmp_path}/dog/copy.png and 1 more{end}",
        f"{tmp_path}/dog/eel.png and {tmp_path}/eel/0.png{end}",
    ]


def test_images_under_two_labels_are_dropped_or_kept_out_of_what_is_measured(tmp_path):
    write_images(tmp_path, "ab", range(20))
    write_copies(tmp_path, {f"b/copy-{i}.png": f"a/{i}.png" for i in range(8)})
    disputed = {f"a/{i}.png" for i in range(8)} | {f"b/copy-{i}.png" for i in range(8)}
    for duplicates, told in (("drop", "16 files, left out"), ("keep", "16 files, all training images")):
        chosen = folder_options(tmp_path, duplicates=duplicates)
        assert image_folder.check(chosen).bytes
        images = image_folder.read(chosen)
        found = splits_of(images)
        assert images.checks[0].found == told
        if duplicates == "drop":
            assert not disputed & set(found)
            assert len(found) == 32
        else:
            assert {found[name] for name in disputed} == {"train"}
            assert len(found) == 48


def test_a_class_of_copies_alone_is_refused(tmp_path):
    write_images(tmp_path, "ab", range(4))
    write_copies(tmp_path, {f"c/{i}.png": "a/0.png" for i in range(5)})
    write_images(tmp_path, "d", [7])
    write_copies(tmp_path, {f"d/{i}.png": "d/7.png" for i in range(5)})
    Image.new("RGB", (8, 6), (1, 2, 3)).save(tmp_path / "d" / "one.png")
    with pytest.raises(InputError) as refused:
        image_folder.check(folder_options(tmp_path, duplicates="drop"))
    what = "that no other class has, expected 3 or more (one for each split)"
    assert list(refused.value.problems) == [
        f"{tmp_path}/c: 0 different images {what}",
        f"{tmp_path}/d: 2 different images {what}",
    ]


# Files that can't be read


def test_all_unreadable_files_are_named_or_left_out(tmp_path):
    write_images(tmp_path, "ab", range(6))
    (tmp_path / "a" / "text.png").write_text("text")
    (tmp_path / "a" / "empty.jpg").write_bytes(b"")
    (tmp_path / "a" / "nowhere.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "b" / "folder.png").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "b" / "pipe.png")
    (tmp_path / "b" / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "b" / os.fsdecode(b"caf\xe9.png")).write_bytes((tmp_path / "b" / "0.png").read_bytes())
    chosen = folder_options(tmp_path)
    with pytest.raises(InputError) as refused:
        image_folder.check(chosen)
    reasons = [problem.removeprefix(f"{tmp_path}/") for problem in refused.value.problems]
    assert reasons == [
        "a/empty.jpg: unreadable image: not a PNG, JPEG, BMP, GIF, WEBP or TIFF",
        "a/nowhere.png: unreadable image: a link to nothing",
        "a/text.png: unreadable image: not a PNG, JPEG, BMP, GIF, WEBP or TIFF",
        "b/caf\\xe9.png: unreadable image: its name isn't UTF-8",
        "b/folder.png: a link to a folder, expected a folder or a picture",
        "b/pipe.png: unreadable image: a pipe or a device, expected a file",
        "b/zero.png: unreadable image: a pipe or a device, expected a file",
    ]
    chosen = folder_options(tmp_path, skip_unreadable=True)
    assert image_folder.check(chosen).fingerprint
    images = image_folder.read(chosen)
    assert images.checks[1].found == "7, left out"
    assert sorted(splits_of(images)) == sorted(f"{name}/{i}.png" for name in "ab" for i in range(6))


def test_what_is_left_must_be_enough(tmp_path):
    write_images(tmp_path, "ab", range(3))
    (tmp_path / "b" / "1.png").write_text("text")
    with pytest.raises(InputError, match="b: 2 images, expected 3 or more"):
        image_folder.check(folder_options(tmp_path, skip_unreadable=True))


def test_every_kind_of_problem_comes_at_once(tmp_path):
    write_images(tmp_path, "ab", range(4))
    (tmp_path / "c").mkdir()
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / os.fsdecode(b"\xff")).mkdir()
    (tmp_path / "a" / "x.png").write_text("text")
    write_copies(tmp_path, {"b/copy.png": "a/0.png"})
    with pytest.raises(InputError) as refused:
        image_folder.check(folder_options(tmp_path))
    assert [problem.removeprefix(f"{tmp_path}/").split(":")[0] for problem in refused.value.problems] == [
        "gone", "\\xff", "c", f"a/0.png and {tmp_path}/b/copy.png", "a/x.png",
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["none", "file", "a\0b", "x" * 300, "pipe"])
def test_a_folder_that_is_none_is_one_line(tmp_path, path):
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    assert_refused(lambda: image_folder.check(folder_options(tmp_path / path)), tmp_path)


@pytest.mark.parametrize("name", ["height", "width"])
def test_a_size_beyond_the_limit_is_refused(tmp_path, name):
    with pytest.raises(ValidationError, match="less than or equal to 4096"):
        folder_options(tmp_path, **{name: 1_000_000_000})
