"""What a run's terminal shows."""

import io

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
