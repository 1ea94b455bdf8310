"""What the tests that start processes share."""

import subprocess


def alive(session=None, text=""):
    """Commands of a session, or with a text, that haven't ended (an ended one may wait for its parent to be told)."""
    # Without ww it cuts commands off at 80 characters, in folders of longer names only.
    rows = subprocess.run(["ps", "-eww", "-o", "sess=,stat=,args="], capture_output=True, text=True, check=True).stdout
    table = [line.split(maxsplit=2) for line in rows.splitlines()]
    return [
        command
        for of, state, command in table
        if session in (None, of) and text in command and not state.startswith("Z")
    ]
