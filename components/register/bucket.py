"""The registry in a bucket of Cloud Storage: the objects have the names of a folder's files, `current` holds a version.

gs://bucket/registry/.key                                       the key that signs
gs://bucket/registry/<experiment>/<data set>/<version>/…        a model's files and its registration.json
gs://bucket/registry/<experiment>/<data set>/current            the number of a version, as text
"""

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.artifacts.registration import FILE, KEY, Registered, own_key
from components.artifacts.shelf import CURRENT, current, make_current, versions
from components.common.errors import InputError
from components.common.files import folder_digest, make_folder
from components.register.challenge import Winner
from components.register.local import register_locally, version_of
from components.vertex.client import storage_client
from components.vertex.cloud_storage import GS, SECONDS
from components.vertex.errors import error_line
from components.vertex.lease import hold_lease


def register_in_bucket(registry: str, winner: Winner, writes: Path) -> Registered:
    """Add a winner to the registry in a bucket, by the rules of `register_locally`.

    What the rules read is copied here, and what they wrote is copied back: the files of a version, then its
    registration, then `current`. A version without a registration is one whose writer was killed; nothing uses it. One
    process at a time does this, by a lease.

    Args:
        registry: The registry's gs:// address.
        winner: The winner.
        writes: The folder that register makes, which tells those who wait for the lease of whose it is.

    Raises:
        InputError: Cloud Storage refuses it, or an object stands where the registry has none.
        RuntimeError: The lease was lost.
    """
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    registry = registry.rstrip("/")
    shelf = f"{winner.board.experiment}/{winner.entry.dataset}"
    name, _, prefix = f"{registry.removeprefix(GS)}/".partition("/")
    with hold_lease(f"{registry}/{shelf}", str(writes)) as check, tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch).resolve()
        try:
            bucket = storage_client().bucket(name)
            _copy_key(bucket.blob(f"{prefix}{KEY}"), root)
            listed = bucket.list_blobs(prefix=f"{prefix}{shelf}/", timeout=SECONDS)
            blobs = {blob.name.removeprefix(f"{prefix}{shelf}/"): blob for blob in listed}
            _copy_here(blobs, root / shelf, winner.export)
            standing, before = current(root / shelf), _written(root / shelf)
            result = register_locally(root, winner, registry)
            for version, _ in _written(root / shelf) - before:
                _copy_back(bucket, f"{prefix}{shelf}/{version}", root / shelf / version, check)
            if (now := current(root / shelf)) != standing:
                check()
                generation = blobs[CURRENT].generation if CURRENT in blobs else 0
                _write_current(bucket.blob(f"{prefix}{shelf}/{CURRENT}"), str(now), generation)
        except InputError as error:
            raise InputError(*(problem.replace(str(root), registry) for problem in error.problems)) from None
        except (exceptions.GoogleAPIError, GoogleAuthError, OSError) as error:
            raise InputError(error_line(error, f"{registry}/{shelf}")) from None
    path, sentence = (text and text.replace(str(root), registry) for text in (result.path, result.sentence))
    return result.model_copy(update={"path": path, "sentence": sentence})


def _written(shelf: Path) -> set[tuple[str, int]]:
    """The registered versions, and when each was written here."""
    files = {version: shelf / version / FILE for version in versions(shelf)}
    return {(version, file.stat().st_mtime_ns) for version, file in files.items() if file.is_file()}


def _copy_key(key: Any, root: Path) -> None:  # noqa: ANN401 (a Blob)
    """Copy the registry's key. Of two registers that make one at once, both use the first."""
    from google.api_core.exceptions import PreconditionFailed

    if not key.exists(timeout=SECONDS):
        with contextlib.suppress(PreconditionFailed):
            key.upload_from_string(own_key(root), if_generation_match=0, timeout=SECONDS)
    (root / KEY).write_bytes(key.download_as_bytes(timeout=SECONDS))


def _copy_here(blobs: dict[str, Any], shelf: Path, export: Path) -> None:
    """Copy what the rules read: the registrations, and the files of the current version and of one of the same export.

    The other versions are folders without files, whose numbers aren't given again.
    """
    files = {name: name.split("/")[0] for name in blobs if "/" in name and not name.endswith("/")}
    if wrong := [name for name, version in files.items() if version == CURRENT or ".." in name.split("/")]:
        raise InputError(f"{shelf / wrong[0]}: no name of the registry's; move it away")
    make_folder(shelf)
    for name in files:
        (shelf / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(f"/{FILE}"):
            blobs[name].download_to_filename(str(shelf / name), timeout=SECONDS)
    if CURRENT in blobs and (version := blobs[CURRENT].download_as_text(timeout=SECONDS).strip()).isdecimal():
        make_current(shelf, version)
    needed = {current(shelf), version_of(shelf, folder_digest(export))}
    for name, version in files.items():
        if version in needed and not (shelf / name).is_file():
            blobs[name].download_to_filename(str(shelf / name), timeout=SECONDS)


def _copy_back(bucket: Any, prefix: str, version: Path, check: Callable[[], None]) -> None:  # noqa: ANN401 (a Bucket)
    """Write a version's files, then its registration; remove objects of others."""
    files = {f"{prefix}/{path.relative_to(version).as_posix()}": path for path in version.rglob("*") if path.is_file()}
    for blob in list(bucket.list_blobs(prefix=f"{prefix}/", timeout=SECONDS)):
        if blob.name not in files:
            check()
            blob.delete(timeout=SECONDS)
    for name, path in sorted(files.items(), key=lambda file: file[1] == version / FILE):
        check()
        bucket.blob(name).upload_from_filename(str(path), timeout=SECONDS)


def _write_current(blob: Any, version: str, generation: int) -> None:  # noqa: ANN401 (a Blob)
    """Replace a generation of `current`, 0 for none."""
    from google.api_core.exceptions import PreconditionFailed

    try:
        blob.upload_from_string(version, if_generation_match=generation, timeout=SECONDS)
    except PreconditionFailed:
        # The write may have arrived, and its answer got lost.
        if blob.download_as_text(timeout=SECONDS) != version:
            raise InputError(f"gs://{blob.bucket.name}/{blob.name}: somebody else changed it meanwhile") from None
