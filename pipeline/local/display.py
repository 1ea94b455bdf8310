"""What a person sees of a local run: one line per task, live on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

State = Literal["waiting", "running", "cached", "done", "failed", "skipped"]
STYLES = {"waiting": "dim", "running": "bold cyan", "cached": "dim green", "done": "green", "failed": "bold red"}
# Without a terminal, a task that runs long is heard of this often.
PLAIN_SECONDS = 60


@dataclass
class Line:
    """The line of a task.

    Attributes:
        state: Where it stands.
        why: Why it runs, or was taken from the cache.
        said: How far it is, then how it ended.
        started: When it started, by the monotonic clock.
        heard: When it was last heard of without a terminal.
        seconds: How long it took.
    """

    state: State = "waiting"
    why: str = ""
    said: str = ""
    started: float = 0.0
    seconds: float | None = None
    heard: float = 0.0

    def note(self) -> str:
        """What stands behind it."""
        return "; ".join(filter(None, [self.why, self.said]))


class Display:
    """Shows the tasks of a run.

    Args:
        tasks: Their names, in the order that they are shown.
        console: Where to.
    """

    def __init__(self, tasks: Iterable[str], console: Console) -> None:
        self.lines = {task: Line() for task in tasks}
        self._console = console
        self._live = Live(get_renderable=self._table, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> "Display":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()
            self._console.print(self._table())

    def start(self, task: str, why: str) -> None:
        """A task starts, for this reason."""
        now = time.monotonic()
        self.lines[task] = Line("running", why, started=now, heard=now)

    def progress(self, task: str, text: str) -> None:
        """A running task said how far it is."""
        line = self.lines[task]
        line.said = text
        if not self._console.is_terminal and time.monotonic() - line.heard >= PLAIN_SECONDS:
            line.heard = time.monotonic()
            self._plain(task)

    def cached(self, task: str, why: str) -> None:
        """A task needn't run."""
        self.lines[task].why = why
        self.end(task, "cached")

    def end(self, task: str, state: State, said: str = "") -> None:
        """A task ended. Without words, what was said last stays."""
        line = self.lines[task]
        line.state = state
        line.said = said or line.said
        if line.started:
            line.seconds = time.monotonic() - line.started
        if not self._console.is_terminal:
            self._plain(task)

    def skip_waiting(self) -> None:
        """The tasks that wait will not run."""
        for line in self.lines.values():
            if line.state in ("waiting", "running"):
                line.state, line.why = "skipped", "a task before it failed, or the run ended"

    def _plain(self, task: str) -> None:
        line = self.lines[task]
        print(f"{line.state:8} {task:32} {self._time(line):>7}  {line.note()}", file=self._console.file, flush=True)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for task, line in self.lines.items():
            style = STYLES.get(line.state, "dim")
            note = Text(line.note(), overflow="ellipsis", no_wrap=True)
            table.add_row(Text(line.state, style), Text(task), Text(self._time(line), justify="right"), note)
        return table

    @staticmethod
    def _time(line: Line) -> str:
        if not line.started:
            return ""
        seconds = time.monotonic() - line.started if line.seconds is None else line.seconds
        return f"{seconds:.1f} s" if seconds < 100 else f"{int(seconds) // 60}:{int(seconds) % 60:02} m"
