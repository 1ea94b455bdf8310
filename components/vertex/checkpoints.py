"""Where trainings and searches keep what isn't finished, and how one of them has its place there to itself."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from components.common import files
from components.vertex import lease

# What the runner on Vertex AI gives. The bucket's name would make a task in another bucket another one to the cache.
OWN_BUCKET = "gs://"


def checkpoints_folder(given: str, output: str) -> Path:
    """The folder of checkpoints that a runner gave.

    Args:
        given: The folder; `OWN_BUCKET` for the folder `checkpoints` of the bucket that the run writes into; or "" for
            a temporary folder, which goes with the machine or the pod.
        output: A folder that the task writes.
    """
    if given == OWN_BUCKET:
        return files.MOUNT / Path(output).relative_to(files.MOUNT).parts[0] / "checkpoints"
    return Path(given or tempfile.mkdtemp())


def address(folder: Path) -> str:
    """The gs:// address of a folder that is mounted from Cloud Storage, and the path of any other."""
    return files.gs(folder) if files.on_mount(folder) else str(folder)


@contextmanager
def held(place: str, writes: str) -> Iterator[Callable[[], None]]:
    """Hold a folder of checkpoints, by a lease in Cloud Storage or by a lock on a disk; wait while another has it.

    Args:
        place: A path or a gs:// address.
        writes: The folder that the process makes, for those who wait.

    Yields:
        A function that raises an error where the folder isn't held any more.
    """
    if place.startswith("gs://"):
        with lease.held(place, writes) as check:
            yield check
    else:
        with files.alone(Path(f"{place}.lock"), f"waiting for {place}: another run trains it"):
            yield lambda: None
