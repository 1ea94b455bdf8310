"""What a run's terminal shows."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.terminal.display import Display


@pytest.mark.parametrize("height", [40, 8])
def test_all_that_runs_is_shown_also_where_the_terminal_is_short(height):
    """Of 20 tasks, two of the last ones run."""
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=height, legacy_windows=False)
    display = Display([f"task-{i}" for i in range(20)], console)
    for i in range(15):
        display.start(f"task-{i}", "first time")
        display.end(f"task-{i}", "done")
    for i in (17, 19):
        display.start(f"task-{i}", "first time")
        display.progress(f"task-{i}", f"epoch {i}/20")
    with display:
        display._live.refresh()
        shown = console.file.getvalue()
    assert "epoch 17/20" in shown and "epoch 19/20" in shown
    assert ("task-16" in shown) is (height == 40)
    assert "task-16" in console.file.getvalue()[len(shown) :], "in the end all are shown"


def test_without_a_terminal_each_task_has_a_line_when_it_ends():
    console = Console(file=io.StringIO(), width=100)
    with Display(["a", "b"], console) as display:
        display.start("a", "first time")
        display.start("b", "epochs: 1 → 2")
        display.progress("b", "epoch 2/2")
        display.end("b", "done")
        display.end("a", "failed", "ValueError: lost")
    lines = console.file.getvalue().splitlines()
    assert [line.split()[:2] for line in lines] == [["done", "b"], ["failed", "a"]]
    assert lines[0].endswith("epochs: 1 → 2; epoch 2/2") and lines[1].endswith("first time; ValueError: lost")


def test_a_run_goes_on_where_nobody_reads_its_output_any_more():
    """As of `run … | head -1`."""
    program = (
        "import sys\n"
        "from pipeline.terminal import tables\n"
        "from pipeline.terminal.display import Display\n"
        "console = tables.console()\n"
        "with Display(['a', 'b'], console) as display:\n"
        "    for task in ('a', 'b'):\n"
        "        display.start(task, 'first time')\n"
        "        display.end(task, 'done')\n"
        "console.print('results')\n"
        "print('report')\n"
        "print('went on', file=sys.stderr)\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", program], cwd=root, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "went on\n")
