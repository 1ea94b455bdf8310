"""A file of predictions that grows, goes on after an interruption, and appears when it is whole.

Beside `predictions.jsonl` it grows as `.predictions.jsonl.partial`, what can't be predicted in
`.predictions.errors.jsonl.partial`, and `.predictions.jsonl.progress` says up to where both are right. What was
written after that is cut off when it goes on: half a line, or a batch that is predicted again.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.common.errors import InputError
from components.common.files import sync, write_text
from components.common.spec import Strict

SUFFIX = ".jsonl"
# Saved more often, a progress file in Cloud Storage would take longer than the predictions.
SAVE_SECONDS = 1.0
# Of the file; those beside it have longer ones, and 255 bytes is what file systems take.
LONGEST_NAME = 200


class Progress(Strict):
    """Up to where the files are right.

    Attributes:
        key: Digest of all that determines the predictions; others start anew.
        read: Examples and failures read.
        predicted: Lines of predictions.
        failed: Lines of errors.
        bytes: Length of the file of predictions.
        error_bytes: Length of the file of errors.
    """

    key: str
    read: int = 0
    predicted: int = 0
    failed: int = 0
    bytes: int = 0
    error_bytes: int = 0


class Growing:
    """The files, open; a second process can't open them at the same time.

    Args:
        output: The file to make, its name ending with .jsonl.
        key: See `Progress`.

    Raises:
        InputError: The file can't be written, or another process is writing it.
    """

    def __init__(self, output: Path, key: str) -> None:
        if output.suffix != SUFFIX:
            raise InputError(f"{output}: expected a file whose name ends with {SUFFIX}")
        if len(os.fsencode(output.name)) > LONGEST_NAME:
            raise InputError(f"{output}: a name of {len(output.name)} letters, expected at most {LONGEST_NAME}")
        self.output, self.errors = output, errors_path(output)
        self._progress = output.with_name(f".{output.name}.progress")
        try:
            if output.is_dir():
                raise InputError(f"{output}: a folder, expected a file")
            output.parent.mkdir(parents=True, exist_ok=True)
            self._files = [path.with_name(f".{path.name}.partial").open("ab") for path in (output, self.errors)]
            fcntl.flock(self._files[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{output}: another process is writing it") from None
        except (FileExistsError, NotADirectoryError):
            raise InputError(f"{output}: {output.parent} is not a folder") from None
        except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
            raise InputError(f"{output}: {getattr(error, 'strerror', None) or error}") from None
        self.progress = self._found(key)
        self._files[0].truncate(self.progress.bytes)
        self._files[1].truncate(self.progress.error_bytes)
        self._saved = time.monotonic()

    def write(self, predictions: Iterable[dict[str, Any]], failures: Iterable[dict[str, Any]]) -> None:
        """Add what became of the examples that were read next."""
        lines = [
            [json.dumps(row, allow_nan=False).encode() + b"\n" for row in rows] for rows in (predictions, failures)
        ]
        for file, own in zip(self._files, lines, strict=True):
            file.write(b"".join(own))
        predicted, failed = map(len, lines)
        sizes = [sum(map(len, own)) for own in lines]
        before = self.progress
        self.progress = Progress(
            key=before.key,
            read=before.read + predicted + failed,
            predicted=before.predicted + predicted,
            failed=before.failed + failed,
            bytes=before.bytes + sizes[0],
            error_bytes=before.error_bytes + sizes[1],
        )
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self._flush()
            sync(*self._paths())
            write_text(self._progress, self.progress.model_dump_json())
            self._saved = time.monotonic()

    def first_failure(self) -> dict[str, str] | None:
        """The first that can't be predicted."""
        self._flush()
        with Path(self._files[1].name).open(encoding="utf-8") as file:
            line = file.readline()
        return json.loads(line) if line else None

    def finish(self) -> None:
        """Let the files appear: that of errors first and only where there are some, then that of predictions."""
        self._flush()
        predictions, errors = self._paths()
        sync(predictions, errors)
        if self.progress.failed:
            errors.replace(self.errors)
        else:
            self.errors.unlink(missing_ok=True)
            errors.unlink()
        predictions.replace(self.output)
        sync(self.output.parent)
        self._progress.unlink(missing_ok=True)

    def remove(self) -> None:
        """Leave nothing."""
        self.close()
        for path in [*self._paths(), self._progress]:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files; what is in them is there for who goes on."""
        for file in self._files:
            with contextlib.suppress(OSError):  # what a full disk has no room for was told when it was written
                file.close()

    def _found(self, key: str) -> Progress:
        """The progress of an interrupted process that was to make the same, or none."""
        try:
            found = Progress.model_validate_json(self._progress.read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            return Progress(key=key)
        sizes = [path.stat().st_size for path in self._paths()]
        whole = sizes[0] >= found.bytes and sizes[1] >= found.error_bytes
        return found if found.key == key and whole else Progress(key=key)

    def _paths(self) -> list[Path]:
        return [Path(file.name) for file in self._files]

    def _flush(self) -> None:
        for file in self._files:
            file.flush()


def errors_path(output: Path) -> Path:
    """Where the errors of a file of predictions go."""
    return output.with_suffix(f".errors{SUFFIX}")
