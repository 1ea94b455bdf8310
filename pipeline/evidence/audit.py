"""Audit a proof: what it says of itself first, which needs no TensorFlow, then what has to be computed."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from components.common.errors import InputError
from components.common.files import printable
from components.common.quiet import import_tensorflow
from components.report.versions import versions
from pipeline.evidence import signature
from pipeline.evidence.archive import SUMS, unpack
from pipeline.evidence.claims import read_claims, statements
from pipeline.evidence.line import Line

_SHOWN = 3


def audit(
    file: Path, allowed: Path | None, step: int | None, data: str | None, say: Callable[[str], None]
) -> list[Line]:
    """Check all that a proof claims of its model.

    Args:
        file: The proof, which may come from anyone.
        allowed: The allowed signers of ssh-keygen.
        step: The kept step to train on from; None for one at random.
        data: The file or folder of the data on this machine, where the source reads one.
        say: Prints a line while the audit goes on.

    Returns:
        What holds and what doesn't.

    Raises:
        InputError: The file is no proof, or can't be audited here.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder, scratch = Path(temporary) / "proof", Path(temporary) / "scratch"
        folder.mkdir()
        scratch.mkdir()
        changed = unpack(file, folder)
        signed = signature.check(folder / SUMS, allowed)
        claims = read_claims(file, folder, data)
        if step is not None and step not in claims.steps:
            raise InputError(f"--step {step}: {printable(file)} kept the steps {', '.join(map(str, claims.steps))}")
        files = Line("files", not changed, "; ".join(changed[:_SHOWN]) or f"as {SUMS} lists them")
        said = [signed, files, *statements(claims, versions())]
        import_tensorflow()
        from pipeline.evidence.recompute import recompute

        return [*said, *recompute(claims, step, scratch, say)]
