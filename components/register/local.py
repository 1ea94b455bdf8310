"""The registry in a folder: <registry>/<experiment>/<data set>/<version>, and the link `current` to one version."""

import contextlib
import shutil
from pathlib import Path

import numpy as np

from components.artifacts.evaluation import load_predictions
from components.artifacts.registration import (
    Action,
    Registered,
    check_registration,
    read_registration,
    write_registration,
)
from components.artifacts.shelf import current, make_current, versions
from components.common.errors import InputError
from components.common.files import atomic_directory, copy_contents, folder_digest, write_text
from components.common.words import now
from components.metrics.bootstrap import errors
from components.register.challenge import ERRORS, Winner, challenge
from components.register.kserve import FILE as MANIFEST
from components.register.kserve import manifest


def register_locally(registry: Path, winner: Winner, address: str) -> Registered:
    """Add a winner to the registry, and make it current where it is better than the current version.

    A version is a signed copy of the model's export with the errors of its test examples. It appears as a whole, and
    `current` is switched atomically. The same export is added once. Where the files of its version were changed, or
    nobody signed them, they are written again. A current version that was changed is replaced without a comparison,
    for `predict` refuses it as well.

    Args:
        registry: The registry's folder.
        winner: The winner.
        address: The registry's address for KServe; "" where a cluster can't read it, and no manifest is written.

    Raises:
        InputError: A file or folder that isn't the registry's stands in the place of one of its own.
    """
    model = winner.entry.model
    shelf = registry / winner.board.experiment / winner.entry.dataset
    for partial in shelf.glob(".*.partial"):  # a register that was killed may have left some
        shutil.rmtree(partial) if partial.is_dir() and not partial.is_symlink() else partial.unlink()

    def result(action: Action, version: str, sentence: str) -> Registered:
        return winner.result(action, sentence + repair, version, str(shelf / version))

    digest, repair = folder_digest(winner.export), ""
    own, standing = version_of(shelf, digest), current(shelf)
    if own and (damage := _damage(shelf / own, registry)):
        _write(shelf / own, winner, digest, registry, address)
        repair = f"; its files are written anew: {damage}"
    if own and own == standing:
        return result("kept", own, f"{model} is version {own} already")
    if standing is None:
        reason = winner.figure()
    elif damage := _damage(shelf / standing, registry):
        reason = f"version {standing} can't be used, {damage}"
    else:
        outcome = challenge(winner, shelf / standing, standing)
        if not outcome.replaces:
            return result("kept", standing, f"kept version {standing}: {outcome.sentence}")
        reason = outcome.sentence
    version = own or str(max((int(path.name) for path in shelf.glob("*") if path.name.isdecimal()), default=0) + 1)
    if not own:
        _write(shelf / version, winner, digest, registry, address)
    make_current(shelf, version)
    action = f"version {version} is current now" if own else f"{model} is registered as version {version}"
    return result("registered", version, f"{action}: {reason}")


def version_of(shelf: Path, digest: str) -> str | None:
    """The newest version whose export has this digest; None where there is none."""
    for version in reversed(versions(shelf)):
        with contextlib.suppress(InputError):
            if read_registration(shelf / version).sha256 == digest:
                return version
    return None


def _damage(version: Path, registry: Path) -> str | None:
    """The reason why a version isn't what this registry wrote; None where it is."""
    try:
        check_registration(version, registry)
    except InputError as error:
        return str(error)
    return None


def _write(version: Path, winner: Winner, digest: str, registry: Path, address: str) -> None:
    board = winner.board
    about = {
        **winner.entry.model_dump(exclude={"rank", "passed"}),
        "run": board.run,
        "seed": board.seed,
        "time": now(),
        "pipeline_sha256": board.pipeline_sha256,
        "dataset_sha256": board.datasets[winner.entry.dataset].sha256,
        "sha256": digest,
    }
    with atomic_directory(version) as new:
        copy_contents(winner.export, new)
        np.save(new / ERRORS, errors(*load_predictions(winner.evaluation)))
        if address:
            experiment, dataset = board.experiment, winner.entry.dataset
            storage = f"{address}/{experiment}/{dataset}/{version.name}"
            write_text(new / MANIFEST, manifest(f"{experiment}-{dataset}", storage))
        write_registration(new, about, registry)
