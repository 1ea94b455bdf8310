"""docs/notebook.ipynb, run as Jupyter runs it."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The notebook's code cells with what they gave, run in a folder that has the shipped configs alone."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    folder = tmp_path_factory.mktemp("reader")
    (folder / "configs").symlink_to(ROOT / "configs")
    notebook = nbformat.read(ROOT / "docs" / "notebook.ipynb", as_version=4)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # An exception in a cell is raised here.
    nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": folder}}).execute(env=environment)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell, kind):
    return "".join(output.data[kind] for output in cell.outputs if kind in output.get("data", {}))


def printed(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def test_runs_show_their_progress_and_their_leaderboard(cells):
    for cell in cells[1:3]:
        assert "train-mlp" in printed(cell)
        assert "<td>mlp</td>" in shown(cell, "text/html")


def test_the_comparison_and_the_frames(cells):
    assert "better by" in shown(cells[3], "text/html")
    assert shown(cells[4], "image/png")
    assert shown(cells[5], "text/html").count("<tr") == 6
    assert "Total params" in shown(cells[6], "text/html") + printed(cells[6])


def test_a_mistake_is_a_line(cells):
    assert printed(cells[7]).endswith("models.mlp: epoch: unknown key; did you mean 'epochs'?\n")
