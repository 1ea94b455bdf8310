"""The progress of a local run: one line for each task, live on a terminal, plain lines elsewhere."""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

State = Literal["waiting", "running", "cached", "done", "failed", "skipped"]
STYLES = {"waiting": "dim", "running": "bold cyan", "cached": "dim green", "done": "green", "failed": "bold red"}
# Without a terminal, a running task prints its progress at most this often.
PLAIN_SECONDS = 60


@dataclass
class Line:
    """The line of a task.

    Attributes:
        state: The task's state.
        why: The reason why it runs, or was taken from the cache.
        message: Its progress, then how it ended.
        started: The time when it started, by the monotonic clock.
        printed: The time when its line was last printed without a terminal.
        seconds: Its duration, once it has ended.
    """

    state: State = "waiting"
    why: str = ""
    message: str = ""
    started: float = 0.0
    seconds: float | None = None
    printed: float = 0.0

    def note(self) -> str:
        """The text at the end of the line."""
        return "; ".join(filter(None, [self.why, self.message]))


class Display:
    """Shows the tasks of a run, a line for each."""

    def __init__(self, tasks: Iterable[str], console: Console) -> None:
        self.lines = {task: Line() for task in tasks}
        self._console = console
        self._live = Live(get_renderable=self._shown, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> "Display":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()
            self._console.print(self._table())

    def start(self, task: str, why: str) -> None:
        """Show that a task starts, and why."""
        now = time.monotonic()
        self.lines[task] = Line("running", why, started=now, printed=now)

    def progress(self, task: str, text: str) -> None:
        """Show the progress of a running task."""
        line = self.lines[task]
        line.message = text
        if not self._console.is_terminal and time.monotonic() - line.printed >= PLAIN_SECONDS:
            line.printed = time.monotonic()
            self._plain(task)

    def cached(self, task: str, why: str) -> None:
        """Show that a task's outputs come from the cache."""
        self.lines[task].why = why
        self.end(task, "cached")

    def end(self, task: str, state: State, message: str = "") -> None:
        """Show that a task ended. Without a message its last progress stays."""
        line = self.lines[task]
        line.state = state
        line.message = message or line.message
        if line.started:
            line.seconds = time.monotonic() - line.started
        if not self._console.is_terminal:
            self._plain(task)

    def skip_waiting(self) -> None:
        """Show that the tasks that wait will not run."""
        for line in self.lines.values():
            if line.state in ("waiting", "running"):
                line.state, line.why = "skipped", "a task before it failed, or the run ended"

    def _plain(self, task: str) -> None:
        line = self.lines[task]
        text = f"{line.state:8} {task:32} {self._time(line):>7}  {line.note()}"
        try:
            # In a notebook the console's own printing would make a display of each line.
            print(text, file=self._console.file, flush=True)
        except BrokenPipeError:
            self._console.on_broken_pipe()

    def _shown(self) -> Table:
        """The table while tasks run: those that run are seen where the terminal has no room for all."""
        room = self._console.height - 1
        if len(self.lines) <= room:
            return self._table()
        first = ("running", "failed", "done")
        order = sorted(self.lines, key=lambda task: first.index(s) if (s := self.lines[task].state) in first else 3)
        return self._table(order[:room])

    def _table(self, tasks: Collection[str] = ()) -> Table:
        table = Table.grid(padding=(0, 2))
        for task, line in self.lines.items():
            if tasks and task not in tasks:
                continue
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
