"""The versions of the packages that a run's results depend on."""

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "scikit-learn", "tensorflow-datasets", "kfp")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that are installed here."""
    installed = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed
