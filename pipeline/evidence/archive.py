"""The file of a proof: a tar archive without compression, whose `SHA256SUMS` lists all other files.

`sha256sum --check SHA256SUMS` reads the list. An archive without compression can't hold more than its own size.
"""

import re
import shutil
import tarfile
import tempfile
from pathlib import Path

from components.common.errors import InputError
from components.common.files import not_a_file, printable, sha256, sync

SUMS = "SHA256SUMS"
SIGNATURE = f"{SUMS}.sig"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,3}")
_SUM = re.compile(r"([0-9a-f]{64})  (\S+)")


def write_sums(folder: Path) -> Path:
    """Write `SHA256SUMS` of all files in a folder; returns its path."""
    path = folder / SUMS
    path.write_text("".join(f"{sha256([folder / name])}  {name}\n" for name in _names(folder)), encoding="utf-8")
    return path


def pack(folder: Path, output: Path) -> None:
    """Write the files of a folder, on the same file system, into an archive, which appears as a whole."""
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as scratch:
        partial = Path(scratch) / output.name
        with tarfile.open(partial, "x:") as archive:
            first = [name for name in (SUMS, SIGNATURE) if (folder / name).exists()]
            for name in [*first, *_names(folder)]:
                member = tarfile.TarInfo(name)
                member.size = (folder / name).stat().st_size
                with (folder / name).open("rb") as file:
                    archive.addfile(member, file)
        sync(partial)
        partial.replace(output)
    sync(output.parent)


def unpack(path: Path, folder: Path) -> list[str]:
    """Write the files of an archive into an empty folder, and compare their digests.

    Args:
        path: The archive, which may come from anyone.
        folder: The folder. Nothing is written elsewhere.

    Returns:
        The files that aren't those of `SHA256SUMS`, each with what is wrong.

    Raises:
        InputError: The file is no archive of a proof, was cut, or has members that such an archive doesn't have.
    """
    shown = printable(path)
    if problem := not_a_file(path):
        raise InputError(f"{shown}: {problem}; expected a file that prove wrote")
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                _write_member(archive, member, folder)
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise InputError(f"{shown}: not the archive of a proof, or cut: {printable(str(error))}") from None
    if not (folder / SUMS).is_file():
        raise InputError(f"{shown}: no {SUMS} in it; expected a file that prove wrote")
    sums: dict[str, str] = {}
    for number, line in enumerate((folder / SUMS).read_bytes().decode("utf-8", "replace").splitlines(), 1):
        match = _SUM.fullmatch(line)
        if not match or match[2] in sums:
            raise InputError(f"{shown}: {SUMS}: line {number}: expected a SHA-256 and the name of a file, once")
        sums[match[2]] = match[1]
    names = _names(folder)
    if missing := [name for name in sums if name not in names]:
        raise InputError(f"{shown}: cut: {printable(missing[0][:200])} is missing, which {SUMS} lists")
    changed = [f"{name} was changed" for name in sums if sha256([folder / name]) != sums[name]]
    return [*changed, *(f"{name} isn't in {SUMS}" for name in names if name not in sums)]


def _write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    if not member.isreg() or member.issparse():
        raise ValueError(f"{member.name[:200]!r} is no plain file")
    if not _NAME.fullmatch(member.name):
        raise ValueError(f"{member.name[:200]!r} is no name in a proof")
    target = folder / member.name
    target.parent.mkdir(parents=True, exist_ok=True)
    content = archive.extractfile(member)
    with target.open("xb") as file:
        shutil.copyfileobj(content, file)  # type: ignore[arg-type]  # of a plain file it is there
    if target.stat().st_size != member.size:
        raise ValueError(f"{member.name!r} is cut")


def _names(folder: Path) -> list[str]:
    """The files that `SHA256SUMS` lists."""
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [name for name in found if name not in (SUMS, SIGNATURE)]
