"""The section of the page about the run: its tasks, and how each ended.

A task can't know how long the others took. So the report's task draws this section without times. A local run, which
has watched all tasks, replaces the section when it publishes the page.
"""

from collections import Counter

from markupsafe import Markup

from components.common.spec import Strict
from components.report.drawing import Node, draw
from components.report.page import render

START, END = "<!--run-->", "<!--/run-->"


class TaskRun(Strict):
    """A task of a run.

    Attributes:
        name: The task's name.
        needs: The names of the tasks that it needs.
        state: "done", "cached", "failed" or "skipped"; "" where it isn't known.
        seconds: The task's duration; None where it isn't known.
        why: The reason why it ran, failed or didn't run.
    """

    name: str
    needs: list[str]
    state: str = ""
    seconds: float | None = None
    why: str = ""


def run_section(run: str, created: str, tasks: list[TaskRun]) -> Markup:
    """Render the section about the run, between START and END.

    Args:
        run: The run's name.
        created: The time, ISO 8601.
        tasks: The tasks, each after those that it needs.
    """
    needs = {task.name: set(task.needs) for task in tasks}
    reached: dict[str, set[str]] = {}
    for task in tasks:
        reached[task.name] = set().union(needs[task.name], *(reached.get(need, set()) for need in task.needs))
    nodes = [
        Node(
            title=task.name,
            detail=_detail(task),
            note=f"{task.name}: {', '.join(filter(None, [task.state, _took(task), task.why]))}",
            style=task.state,
            # An edge is left out where another path leads to the same task.
            needs=[need for need in task.needs if not any(need in reached.get(other, ()) for other in task.needs)],
        )
        for task in tasks
    ]
    states = ", ".join(f"{task.name} {_detail(task)}".strip() for task in tasks)
    count = Counter(task.state for task in tasks)
    known = [task.seconds for task in tasks if task.seconds is not None]
    return render(
        "run.html",
        run=run,
        created=created,
        tasks=tasks,
        counts={state: count[state] for state in ("done", "cached", "failed", "skipped") if count[state]},
        seconds=sum(known) if known else None,
        graph=draw(nodes, f"The tasks of the run: {states}", across=True),
    )


def with_run(page: str, run: str, created: str, tasks: list[TaskRun]) -> str:
    """Replace the page's section about the run."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return before + str(run_section(run, created, tasks)) + after


def _detail(task: TaskRun) -> str:
    return _took(task) if task.state == "done" else " ".join(filter(None, [task.state, _took(task)]))


def _took(task: TaskRun) -> str:
    return "" if task.seconds is None or task.state == "cached" else f"{task.seconds:.1f} s"
