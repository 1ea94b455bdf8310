"""Makes the pictures of the README: `make pictures`. It runs configs/quick.yaml in a terminal and opens its report."""

import fcntl
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import tempfile
import termios
from pathlib import Path

import house
from PIL import Image
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

FOLDER = Path(__file__).parent
COMMAND = ("keras-pipeline", "run", "configs/quick.yaml")
COLUMNS = 100
REPORT = {"width": 1100, "height": 1300}


def run(folder: Path) -> str:
    """Run configs/quick.yaml in a terminal and a folder of its own. Gives what the terminal shows in the end."""
    (folder / "configs").symlink_to(house.ROOT / "configs")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 80, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    command = [str(house.ROOT / "pipeline" / COMMAND[0]), *COMMAND[1:]]
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = b""
        while part := _read(ours):
            written += part
    if process.returncode:
        raise SystemExit(written.decode())
    # The live table is erased line by line before the last one is printed.
    return re.split("\x1b\\[2K", written.decode())[-1].replace("\r", "")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # the process has ended
        return b""


def terminal_picture(text: str) -> None:
    """Write run.svg."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(f"$ {' '.join(COMMAND)}\n" + re.sub("\x1b\\[\\?25[hl]", "", text)))
    svg = console.export_svg(title="a run")
    # Fonts of the network; the reader's own monospaced one serves.
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    (FOLDER / "run.svg").write_text(svg, encoding="utf-8")


def report_picture(page: Path) -> None:
    """Write report.png, in 128 colours."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        opened = chromium.new_page(viewport=REPORT, color_scheme="light")
        opened.goto(page.as_uri())
        picture = Image.open(io.BytesIO(opened.screenshot()))
        chromium.close()
    picture.convert("RGB").quantize(128).save(FOLDER / "report.png", optimize=True)


def main() -> None:
    """Make all of them."""
    house.main()
    with tempfile.TemporaryDirectory() as folder:
        terminal_picture(run(Path(folder)))
        report_picture(Path(folder) / "runs" / "quick" / "latest" / "report.html")


if __name__ == "__main__":
    main()
