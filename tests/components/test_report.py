"""The page about a run as a whole, of a small run on real data."""

import json
import re
import subprocess
import sys
from pathlib import Path

from kfp import dsl
from reported import COMMAND, TASKS, Page, changed, evaluation_of, page, searched, trial
from small_run import MODELS, artifact, compared, gathered

from components.report.run_section import TaskRun, with_run


def test_the_page_shows_every_part(html, results):
    found = Page(html)
    for part in ("leaderboard", "run", "data", "models", "reproduce", "model-mlp", "model-lstm", "data-fashion"):
        assert found.ids.count(part) == 1
    mlp, lstm = evaluation_of(results, "mlp"), evaluation_of(results, "lstm")
    assert f"{mlp['metrics']['accuracy']:.4f}" in found.text
    assert f"(ECE) {mlp['metrics']['ece']:.3f}; temperature " in found.text
    assert "below majority_class" in found.text
    assert f"{lstm['metrics']['mae']:.4f}" in found.text
    assert all(f"is {name}" in found.text or name in found.text for name in ("Ankle boot", "T-shirt/top"))
    assert COMMAND in found.text
    assert "From the folder that the run was started in" in found.text
    assert "5ha256" in found.text
    for name in ("numpy", "keras", "Python"):
        assert re.search(rf"{name} \d+\.\d+", found.text)
    assert "duplicates" in found.text
    info = json.loads((Path(results["dataset_fashion"].path) / "dataset.json").read_text())
    assert info["sha256"] in found.text


def test_every_figure_says_what_it_shows(html):
    found = Page(html)
    assert all(found.pictures)
    figures = re.findall(r"<figure.*?</figure>", html, re.DOTALL)
    # Two contests and a series; curves, calibration and confusion; curves, errors, three windows, hours, residuals.
    assert len(figures) == 3 + 4 + 8
    assert all("<svg" in figure and "<figcaption>" in figure for figure in figures)
    assert html.count('class="graph"') == 1 + len(MODELS)
    assert len([alt for alt in found.pictures if alt.startswith("Training images of class")]) == 10


def test_no_legend_lies_over_what_is_drawn(results, board, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    legends, save = [], Figure.savefig

    def look(figure, *args, **options):
        save(figure, *args, **options)
        for ax in figure.axes:
            if ax.get_legend():
                legends.append((ax.get_legend().get_window_extent(), ax.get_window_extent(), figure.bbox))

    monkeypatch.setattr(Figure, "savefig", look)
    search = searched(tmp_path / "search", [trial(1, 0.5), trial(2, 0.75)])
    page(results, tmp_path / "report.html", board, tunings={"mlp": search})
    assert len(legends) == 1 + 3 + 1 + 7
    for legend, axes, figure in legends:
        assert legend.y0 >= axes.y1, "over the axes"
        assert figure.x0 <= legend.x0 < legend.x1 <= figure.x1 + 1, "beyond the figure"


def test_the_page_is_whole_by_itself(html):
    found = Page(html)
    assert all(link.startswith(("#", "data:")) for link in found.links)
    targets = {link[1:] for link in found.links if link.startswith("#")}
    assert targets <= set(found.ids), "a link leads nowhere"
    assert len(found.ids) == len(set(found.ids))
    assert not re.search(r"""(url\(|=)["']?(https?:)?//""", html)
    assert "#00000" not in html, "a stand-in for a colour of the page is left"
    assert len(html) < 1_000_000


def test_the_same_run_gives_the_same_page_in_another_process(html, results, board, tmp_path):
    code = (
        "import json, sys; from types import SimpleNamespace as N; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from reported import page\n"
        "given = {k: N(path=v) for k, v in json.loads(sys.argv[1]).items()}\n"
        "page(given, Path(sys.argv[2]), N(path=sys.argv[3]))\n"
    )
    given = json.dumps({name: made.path for name, made in results.items()})
    command = [sys.executable, "-W", "ignore", "-c", code, given, str(tmp_path / "again.html"), board.path]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "again.html").read_text() == html


def test_a_failed_export_and_a_failed_evaluation_leave_the_rest(results, tmp_path):
    some = {kind: made for kind, made in results.items() if kind not in ("export_mlp", "evaluation_lstm")}
    failures = {"export-mlp": "RuntimeError: it differs", "evaluate-lstm": "MemoryError: no <room>"}
    leaderboard, _ = compared(some, tmp_path, failures=failures)
    html = page(some, tmp_path / "report.html", leaderboard, failures)
    found = Page(html)
    assert "2 tasks failed" in found.text
    assert "MemoryError: no <room>" in found.text
    assert "It was not evaluated" in found.text
    assert "Confusion matrix" in html
    assert "Residuals" not in html


def test_a_run_that_failed_at_once_still_has_a_page(tmp_path):
    html = page({}, tmp_path / "report.html", None, {"ingest-fashion": "InputError: no such file"})
    found = Page(html)
    assert "InputError: no such file" in found.text
    assert 'class="node failed"' in html
    assert html.count('class="node skipped"') == len(TASKS) - 1


def test_names_cannot_break_the_page(results, board, tmp_path):
    evil = "$\\frac$ <script>alert('x')</script> & \"q\" <!--/run-->"

    def rename(content):
        classes = content.get("classes")
        if classes:
            classes[0] = evil
        if content.get("per_class"):
            content["per_class"][evil] = content["per_class"].pop("T-shirt/top")

    given = changed(results, "dataset_fashion", tmp_path / "data", "dataset.json", rename)
    given = changed(given, "evaluation_mlp", tmp_path / "evaluation", "evaluation.json", rename)
    html = page(given, tmp_path / "report.html", board)
    assert html.count("<script") == 1
    assert evil in Page(html).text
    assert html.count("<!--/run-->") == 1


def test_a_local_run_adds_how_its_tasks_went(html):
    tasks = [
        TaskRun(name="ingest-fashion", needs=[], state="cached", why="nothing it depends on changed"),
        TaskRun(name="train-mlp", needs=["ingest-fashion"], state="done", seconds=12.34, why="epochs: 2 → 3 <i>"),
    ]
    new = with_run(html, "20260101-000000", "2026-01-01T00:00:00+00:00", tasks)
    before, after = html.index("<!--run-->"), html.index("<!--/run-->")
    assert new.startswith(html[:before])
    assert new.endswith(html[after:])
    text = Page(new).text
    assert "20260101-000000, 2026-01-01 00:00:00 UTC" in text
    assert "12.3 s in all, 1 done, 1 cached" in text
    assert "epochs: 2 → 3 <i>" in text
    assert "A task can't know" in Page(html).text
    assert "A task can't know" not in text


def test_the_component_writes_an_html_artifact(results, tmp_path):
    from components.report.component import report

    about = {"experiment": "small", "command": COMMAND, "seed": 1, "code_version": "c0de", "tasks": TASKS}
    made = artifact(dsl.HTML, tmp_path / "page")
    leaderboard, _ = compared(results, tmp_path)
    given = gathered(results, "datasets", "models", "evaluations", "exports")
    report.python_func(json.dumps(about), "{}", "5ha256", "x", made, **given, searches={}, leaderboard=leaderboard)
    assert Path(made.path).read_text(encoding="utf-8").startswith("<!doctype html>")
