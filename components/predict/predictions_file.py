"""A file of predictions, which can be continued after an interruption and appears when it is complete.

Beside `predictions.jsonl`, predictions are appended to `.predictions.jsonl.partial` and failures to
`.predictions.errors.jsonl.partial`. `.predictions.jsonl.progress` says up to which byte both are correct. The bytes
after that, such as half a line, are cut off when the file is continued.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from components.common.errors import InputError
from components.common.files import sync, write_text
from components.common.spec import Strict

SUFFIX = ".jsonl"
# The least time between two saves of the progress, which take long in Cloud Storage.
SAVE_SECONDS = 1.0
# The longest name of the file in bytes. The files beside it have longer names, and file systems allow 255 bytes.
LONGEST_NAME = 200


class Progress(Strict):
    """The part of the files that is correct.

    Attributes:
        key: The digest of everything that the predictions depend on. With another key, the files begin anew.
        read: The number of examples and failures read.
        predicted: The number of predictions.
        failed: The number of errors.
        bytes: The length of the file of predictions.
        error_bytes: The length of the file of errors.
    """

    key: str
    read: int = 0
    predicted: int = 0
    failed: int = 0
    bytes: int = 0
    error_bytes: int = 0


class PredictionsFile:
    """A file of predictions and the files beside it. A second process can't open them at the same time.

    Args:
        output: The file to write. Its name ends with .jsonl.
        key: The key of `Progress`.

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
        self.progress = self._load_progress(key)
        self._files[0].truncate(self.progress.bytes)
        self._files[1].truncate(self.progress.error_bytes)
        self._saved = time.monotonic()

    def write(self, predictions: Iterable[dict[str, object]], failures: Iterable[dict[str, object]]) -> None:
        """Append the results of a batch of examples."""
        lines = [
            [json.dumps(row, allow_nan=False).encode() + b"\n" for row in rows] for rows in (predictions, failures)
        ]
        for file, rows in zip(self._files, lines, strict=True):
            file.write(b"".join(rows))
        predicted, failed = map(len, lines)
        sizes = [sum(map(len, rows)) for rows in lines]
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
        """The first example that couldn't be predicted; None where there is none."""
        self._flush()
        with Path(self._files[1].name).open(encoding="utf-8") as file:
            line = file.readline()
        return json.loads(line) if line else None

    def finish(self) -> None:
        """Rename the files to their names: first the errors, where there are some, then the predictions."""
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
        """Remove the files."""
        self.close()
        for path in [*self._paths(), self._progress]:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files, which a later call can continue."""
        for file in self._files:
            with contextlib.suppress(OSError):  # a full disk was already reported by the write before
                file.close()

    def _load_progress(self, key: str) -> Progress:
        """Load the progress of an interrupted process with the same key. Without any, it begins at zero."""
        try:
            saved = Progress.model_validate_json(self._progress.read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            return Progress(key=key)
        sizes = [path.stat().st_size for path in self._paths()]
        complete = sizes[0] >= saved.bytes and sizes[1] >= saved.error_bytes
        return saved if saved.key == key and complete else Progress(key=key)

    def _paths(self) -> list[Path]:
        return [Path(file.name) for file in self._files]

    def _flush(self) -> None:
        for file in self._files:
            file.flush()


def errors_path(output: Path) -> Path:
    """The path of the errors beside a file of predictions."""
    return output.with_suffix(f".errors{SUFFIX}")
