"""The registry on this machine: <registry>/<experiment>/<data set>/<version>, and the link `current` to one."""

import contextlib
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from components.artifacts.dataset import load_info
from components.artifacts.registration import Registered, check_registration, read_registration, write_registration
from components.artifacts.shelf import current, make_current, versions
from components.common.errors import InputError
from components.common.files import atomic_directory, copy_contents, sha256, write_text
from components.metrics.bootstrap import errors_of
from components.register.challenge import ERRORS, Winner, challenge
from components.register.kserve import FILE as MANIFEST
from components.register.kserve import manifest


def register_here(registry: Path, winner: Winner) -> Registered:
    """Add a winner to the registry and let it be current, where it is better than what is.

    A version is a copy of the model's export with the errors of its test examples, signed. It appears whole, and
    `current` is switched in one step. The same export is one version. Where its files were changed, or nobody signed
    them, they are written anew. Another current version that was changed gives way: `predict` doesn't load it either.

    Args:
        registry: The registry's folder.
        winner: The winner.

    Raises:
        InputError: Something that isn't the registry's is in its place.
    """
    dataset, model = winner.entry.dataset, winner.entry.model
    shelf = registry / winner.board.experiment / dataset
    for left in shelf.glob(".*.partial"):  # by a register that was killed
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()

    def done(action: Literal["registered", "kept"], version: str, sentence: str) -> Registered:
        path = str(shelf / version)
        return Registered(
            dataset=dataset, action=action, version=version, path=path, sentence=f"{dataset}: {sentence}{mended}"
        )

    digest, mended = sha256(sorted(p for p in winner.export.rglob("*") if p.is_file()), winner.export), ""
    own, standing = _version_of(shelf, digest), current(shelf)
    if own and (damage := _damage(shelf / own, registry)):
        _write(shelf / own, winner, digest, registry)
        mended = f"; its files are written anew: {damage}"
    if own and own == standing:
        return done("kept", own, f"{model} is version {own} already")
    if standing is None:
        said = winner.figure()
    elif damage := _damage(shelf / standing, registry):
        said = f"version {standing} can't be used, {damage}"
    else:
        outcome = challenge(winner, shelf / standing, standing)
        if not outcome.takes_place:
            return done("kept", standing, f"kept version {standing}: {outcome.sentence}")
        said = outcome.sentence
    version = own or str(max((int(path.name) for path in shelf.glob("*") if path.name.isdecimal()), default=0) + 1)
    if not own:
        _write(shelf / version, winner, digest, registry)
    make_current(shelf, version)
    how = f"version {version} is current now" if own else f"{model} is registered as version {version}"
    return done("registered", version, f"{how}: {said}")


def _version_of(shelf: Path, digest: str) -> str | None:
    """The newest version that is a copy of the export with this digest."""
    for version in reversed(versions(shelf)):
        with contextlib.suppress(InputError):
            if read_registration(shelf / version).sha256 == digest:
                return version
    return None


def _damage(version: Path, registry: Path) -> str | None:
    """Why a version isn't what this registry wrote; None where it is."""
    try:
        check_registration(version, registry)
    except InputError as error:
        return str(error)
    return None


def _write(version: Path, winner: Winner, digest: str, registry: Path) -> None:
    board, info = winner.board, load_info(winner.data)
    about = {
        **winner.entry.model_dump(exclude={"rank", "passed"}),
        "run": board.run,
        "seed": board.seed,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "pipeline_sha256": board.pipeline_sha256,
        "dataset_sha256": board.datasets[winner.entry.dataset].sha256,
        "sha256": digest,
    }
    with atomic_directory(version) as new:
        copy_contents(winner.export, new)
        np.save(new / ERRORS, errors_of(winner.evaluation, info))
        experiment, dataset = board.experiment, winner.entry.dataset
        # Of a volume that the registry is copied to: this machine's disk isn't the cluster's.
        storage = f"pvc://registry/{experiment}/{dataset}/{version.name}"
        write_text(new / MANIFEST, manifest(f"{experiment}-{dataset}", storage))
        write_registration(new, about, registry)
