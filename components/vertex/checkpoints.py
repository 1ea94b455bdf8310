"""The folders of checkpoints of trainings and searches, each of which only one process at a time may write."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from components.common import files
from components.vertex import lease

# The folder that the runner on Vertex AI passes. The bucket's name would be a part of the cache's keys.
OWN_BUCKET = "gs://"


def checkpoints_folder(argument: str, output: str) -> Path:
    """The folder of all checkpoints.

    Args:
        argument: The runner's argument. It is the folder; `OWN_BUCKET` for the folder `checkpoints` of the bucket that
            the run writes into; or "" for a temporary folder, which is lost with the machine or the pod.
        output: A folder that the task writes.
    """
    if argument == OWN_BUCKET:
        return files.MOUNT / Path(output).relative_to(files.MOUNT).parts[0] / "checkpoints"
    return Path(argument or tempfile.mkdtemp())


def address(folder: Path) -> str:
    """The gs:// address of a folder that is mounted from Cloud Storage, and the path of any other."""
    return files.gs(folder) if files.on_mount(folder) else str(folder)


@contextmanager
def hold_checkpoints(folder: str, output: str) -> Iterator[Callable[[], None]]:
    """Hold a folder of checkpoints, by a lease in Cloud Storage or a lock on a disk. Wait while another process has it.

    Args:
        folder: A path or a gs:// address.
        output: The folder that the process writes, which a waiting process prints.

    Yields:
        A function that raises an error where the folder isn't held any more.
    """
    if folder.startswith("gs://"):
        with lease.hold_lease(folder, output) as check:
            yield check
    else:
        with files.locked(Path(f"{folder}.lock"), f"waiting for {folder}: another run trains it"):
            yield lambda: None
