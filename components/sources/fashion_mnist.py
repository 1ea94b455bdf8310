"""Fashion-MNIST: 60,000 + 10,000 grey images of 28 x 28 pixels, ten classes of clothing.

TFDS' builder prepares the data set, and verifies the SHA-256 of the four archives. Where Debian's package of the data
can be had, nothing is downloaded from the authors' server.

Xiao, Rasul, Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms,
arXiv:1708.07747.
"""

import hashlib
import os
import shutil
import struct
import subprocess
from pathlib import Path

from components.common.errors import InputError
from components.common.files import scratch_directory
from components.common.folders import usable
from components.common.quiet import import_tensorflow
from components.common.spec import Facts, ImageOptions
from components.data.source_data import Images
from components.sources import tfds as tfds_images

TASK = "classification"
NAME = "fashion_mnist"
BYTES = 45_000_000
CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_FOLDER = Path("usr/share/datasets/fashion-mnist")
# The times in the gzip headers of the authors' archives, which Debian's copies lack.
MTIMES = {"train": 1504176606, "t10k": 1504176627}


class Options(ImageOptions):
    """Options of Fashion-MNIST: those of every image source."""


def check(options: Options) -> Facts:
    """The facts of the data set, which never change."""
    # A builder that is named is found only after TFDS has imported all of its data sets.
    from tensorflow_datasets.image_classification import FashionMNIST

    fingerprint = f"{NAME} {FashionMNIST.VERSION}"
    return Facts(fingerprint=fingerprint, bytes=round(BYTES * options.use), shape=[28, 28, 1], classes=CLASSES)


def read(options: Options) -> Images:
    """Read the prepared data set. Where it isn't prepared, as in a cluster, TFDS downloads it."""
    from tensorflow_datasets.image_classification import FashionMNIST

    builder = FashionMNIST()
    builder.download_and_prepare()
    return tfds_images.images(builder, options)


def fetch(options: Options | None = None, archives: Path | None = None) -> str:
    """Get the archives, and let TFDS prepare them in $TFDS_DATA_DIR.

    The archives come from `archives`, from Debian's package (installed, or downloaded and unpacked without
    root), or from the authors' server.

    Args:
        options: The options, which aren't used, for the whole data set is prepared.
        archives: A folder that holds the four .gz files.

    Returns:
        A line with the folder, and where the archives came from.

    Raises:
        InputError: An archive is corrupt or truncated, a folder can't be used, the disk has no room, or the authors'
            server can't be reached.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.image_classification import FashionMNIST

    folder = _prepared_folder()
    if (folder / "dataset_info.json").is_file():
        return f"Fashion-MNIST is prepared in {folder}"
    root = folder.parent.parent
    usable(root)
    if os.path.lexists(folder):
        raise InputError(f"{folder}: isn't a data set that TFDS prepared; remove it")
    # The disk holds the archives, their unpacked copies and the records at the same time.
    needed = 3 * BYTES
    if (free := shutil.disk_usage(root).free) < needed:
        raise InputError(f"{root}: no room for Fashion-MNIST: {needed >> 20} MB needed, {free >> 20} MB free")
    import_tensorflow()
    tfds.disable_progress_bar()
    with scratch_directory(root) as scratch:
        source = archives or _debian_archives(scratch)
        manual = scratch / "archives"
        if source:
            manual.mkdir()
            for info in FashionMNIST.url_infos.values():
                _restore(source / info.filename, manual / info.filename, info.checksum)
        config = tfds.download.DownloadConfig(manual_dir=str(manual) if source else None)
        try:
            with tfds_images.preparing(f"{folder}: Fashion-MNIST"):
                FashionMNIST().download_and_prepare(download_dir=str(scratch / "downloads"), download_config=config)
        except InputError:
            # TFDS can't put it where another process has put it in the meantime.
            if not (folder / "dataset_info.json").is_file():
                raise
    return f"Fashion-MNIST was prepared in {folder} from {source or 'the server of its authors'}"


def _prepared_folder() -> Path:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.image_classification import FashionMNIST

    root = os.environ.get("TFDS_DATA_DIR") or tfds.core.constants.DATA_DIR
    return Path(root).expanduser() / NAME / str(FashionMNIST.VERSION)


def _debian_archives(scratch: Path) -> Path | None:
    installed = Path("/") / DEBIAN_FOLDER
    if installed.is_dir():
        return installed
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return None

    def run(*command: str) -> int:
        quiet = subprocess.DEVNULL
        return subprocess.run(command, cwd=scratch, stdout=quiet, stderr=quiet, check=False).returncode

    if run("apt-get", "download", DEBIAN_PACKAGE):
        # A fresh machine has no package lists yet; root can get them.
        run("apt-get", "update")
        run("apt-get", "download", DEBIAN_PACKAGE)
    for package in scratch.glob("*.deb"):
        run("dpkg-deb", "-x", package.name, ".")
    folder = scratch / DEBIAN_FOLDER
    return folder if folder.is_dir() else None


def _restore(archive: Path, target: Path, checksum: str) -> None:
    """Copy an archive with the authors' gzip header, and compare its SHA-256 with the one that TFDS knows.

    Debian's packager removed the name and time from the gzip headers (RFC 1952), and left the compressed stream as it
    was. So the header is written anew. The digest then matches where the archive is complete.
    """
    try:
        data = archive.read_bytes()
    except OSError as error:
        raise InputError(f"{archive}: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != checksum:
        mtime = struct.pack("<I", MTIMES[archive.name.split("-")[0]])
        name = archive.name.removesuffix(".gz").encode()
        data = b"\x1f\x8b\x08\x08" + mtime + b"\x00\x03" + name + b"\x00" + data[10:]
    digest = hashlib.sha256(data).hexdigest()
    if digest != checksum:
        raise InputError(f"{archive}: corrupt or truncated: SHA-256 {digest[:12]}…, expected {checksum[:12]}…")
    target.write_bytes(data)
