"""Signatures of proofs, which ssh-keygen makes and checks."""

import shutil
import subprocess
from pathlib import Path

from components.common.errors import InputError
from components.common.files import not_a_file, printable
from pipeline.evidence.archive import SIGNATURE
from pipeline.evidence.line import Line

# What a signature is for: one of a commit or a mail isn't taken for one of a proof.
NAMESPACE = "keras-pipeline-proof"


def sign(sums: Path, key: Path) -> None:
    """Write the signature of a file beside it. ssh-keygen asks for a passphrase, or an ssh-agent has the key.

    Raises:
        InputError: ssh-keygen isn't there, or can't sign with this key.
    """
    if problem := not_a_file(key):
        raise InputError(f"{printable(key)}: {problem}; expected a key of ssh-keygen's")
    done = _ssh_keygen("sign", "-f", str(key), "-n", NAMESPACE, str(sums))
    if done.returncode:
        raise InputError(f"{printable(key)}: ssh-keygen can't sign with it: {_last_line(done)}")


def check(sums: Path, allowed: Path | None) -> Line:
    """Check the signature of a proof.

    Args:
        sums: The signed file.
        allowed: The allowed signers, as ssh-keygen's manual describes the file; None where nobody named them.

    Raises:
        InputError: ssh-keygen isn't there, or there is no file of allowed signers.
    """
    if allowed and (problem := not_a_file(allowed)):
        raise InputError(f"{printable(allowed)}: {problem}; expected allowed signers, see the manual of ssh-keygen")
    path = sums.with_name(SIGNATURE)
    if not path.exists():
        return Line("signature", False if allowed else None, "none: the proof is unsigned, anyone can have made it")
    given = ["-n", NAMESPACE, "-s", str(path)]
    valid = _ssh_keygen("check-novalidate", *given, stdin=sums)
    if valid.returncode:
        return Line("signature", False, f"wrong: {_last_line(valid)}")
    key = _last_line(valid).rpartition(" key ")[2]
    if allowed is None:
        return Line("signature", None, f"by {key}; --allowed-signers says whose it has to be")
    found = _ssh_keygen("find-principals", "-s", str(path), "-f", str(allowed))
    # A line of that file may name several.
    signer = found.stdout.partition("\n")[0].partition(",")[0]
    verified = signer and not _ssh_keygen("verify", *given, "-f", str(allowed), "-I", signer, stdin=sums).returncode
    if not verified:
        return Line("signature", False, f"by {key}, which {printable(allowed)} doesn't allow")
    return Line("signature", True, f"by {signer}, {key}")


def _ssh_keygen(action: str, *arguments: str, stdin: Path | None = None) -> subprocess.CompletedProcess[str]:
    if not shutil.which("ssh-keygen"):
        raise InputError("ssh-keygen isn't installed; it is in OpenSSH's client (Debian's package openssh-client)")
    given = stdin.read_text(encoding="utf-8", errors="replace") if stdin else None
    command = ["ssh-keygen", "-Y", action, *arguments]
    # Without input, it may ask for a passphrase at the terminal.
    return subprocess.run(command, input=given, capture_output=True, text=True, errors="replace", check=False)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return printable(lines[-1][:200]) if lines else f"exit code {done.returncode}"
