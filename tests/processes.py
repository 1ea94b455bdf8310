"""What the tests that start processes share."""

import subprocess


def alive(session):
    """Processes of a session that haven't ended (an ended one may wait for its parent to be told)."""
    rows = subprocess.run(["ps", "-eo", "sess=,stat=,args="], capture_output=True, text=True, check=True).stdout
    table = [line.split(maxsplit=2) for line in rows.splitlines()]
    return [row[2] for row in table if row[0] == session and not row[1].startswith("Z")]
