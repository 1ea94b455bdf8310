"""A disk that is full, without root's rights."""

import contextlib
import resource


@contextlib.contextmanager
def small_files(size):
    """No file may grow beyond a size in bytes: writes fail as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
