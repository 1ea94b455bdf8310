"""Versions of the packages that decide results."""

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "scikit-learn", "tensorflow-datasets", "kfp")


def versions() -> dict[str, str]:
    """Of Python and of the packages that are installed here."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
