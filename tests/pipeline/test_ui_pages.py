"""The pages of runs, asked for through a real socket: what they say, and what they survive."""

import json
import os
import shutil
import subprocess
import sys
import threading

import pytest
from asked_pages import FAILED, FIRST, KILLED, ROOT, SECOND, STOPPED, asking, five_runs
from made_runs import make_run, serving


@pytest.fixture
def runs(tmp_path):
    return five_runs(tmp_path)


@pytest.fixture
def server(runs):
    """The server in this process, asked by sockets."""
    with serving(runs) as server:
        yield asking(server.server_address[1])


def test_every_link_of_every_page_leads_somewhere(server):
    seen, todo = {}, ["/"]
    while todo:
        path = todo.pop().partition("#")[0]
        if path and path not in seen and not path.startswith("data:"):
            found = server.get(path)
            seen[path] = found.code
            if path.startswith("/files/") or found.links is None:
                continue
            todo += found.links
    assert {path: code for path, code in seen.items() if code != 200} == {}
    for path in ("/runs/small", f"/files/small/{SECOND}/report.html", f"/files/small/{SECOND}/leaderboard.json"):
        assert path in seen
    assert f"/files/small/{FAILED}/logs/train-mlp.log" in seen
    assert any(path.startswith("/diff?") for path in seen)


def test_the_list_has_the_facts_of_the_command(server, runs):
    page = server.get("/runs/small").text
    command = [sys.executable, "-m", "pipeline", "runs", "small"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300"}
    said = subprocess.run(command, cwd=runs.parent, env=environment, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in said.splitlines() if line.startswith("2026")]
    assert [row[0] for row in rows] == [FIRST, SECOND, FAILED, KILLED, STOPPED]
    assert [row[1] for row in rows] == ["finished", "finished", "failed", "stopped", "stopped"]
    for name, state, *_ in rows:
        assert f"{name} 2026-01-{name[6:8]} 08:00 {state}" in page
    assert "0.9000 mlp 0.8500 to 0.9500" in page
    assert "models.mlp.epochs: 1 → 8" in page
    assert "models.<b>bold: added" in page
    sentence = next(line for line in said.splitlines() if "test split has been read" in line)
    assert f"{sentence}." in page
    assert page.index(STOPPED) < page.index(FIRST), "the newest first"


def test_a_run_says_why_it_ended_so(server):
    assert "train-mlp failed: ValueError: <script>alert(1)</script>" in server.get(f"/runs/small/{FAILED}").text
    assert "it was killed, or the machine went down" in server.get(f"/runs/small/{KILLED}").text
    assert "Ctrl-C, SIGTERM or SIGHUP stopped it" in server.get(f"/runs/small/{STOPPED}").text
    page = server.get("/runs/small/latest")
    assert "python -m tensorboard.main --logdir" in page.text
    assert "images: this test split has been read 2 times by 2 models." in page.text
    assert "200 test examples, which nothing before the evaluation has read. Best first, by accuracy." in page.text
    assert "lacks" not in page.text
    assert f"Against {FIRST}: models.mlp.epochs: 1 → 8; models.<b>bold: added." in page.text


def test_a_difference_is_that_of_the_command(server, runs):
    page = server.get(f"/diff?a=small/{FIRST}&b=small%2F{SECOND}").text
    command = [sys.executable, "-m", "pipeline", "runs", "diff", FIRST, SECOND]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(command, cwd=runs.parent, env=environment, capture_output=True, text=True, check=True).stdout
    verdict = next(line for line in said.splitlines() if line.startswith("mlp")).split("better by ")[1]
    assert f"better by {verdict}" in page
    assert "only in B" in page
    assert "models.mlp.epochs: 1 → 8" in page
    for path in ("/diff", f"/diff?a=small/{FIRST}", f"/diff?a=small/{FIRST}&b=..%2F..", "/diff?a=small/x&b=small/y"):
        assert server.get(path).code == 404


def test_what_others_wrote_is_text(server, runs):
    shutil.copytree(runs / "small", runs / "<script>alert(2)<", symlinks=True)
    for path in ("/", "/runs/small", f"/runs/small/{FAILED}", f"/runs/small/{SECOND}", "/runs/%3Cscript%3Ealert(2)%3C",
                 f"/diff?a=small/{FIRST}&b=small/{SECOND}", "/%3Cscript%3E", "/runs/%3Cb%3E"):  # fmt: skip
        content = server.get(path).content.decode()
        assert content.count("<script") == 2, path
        assert "<b>" not in content


def test_folders_that_were_damaged_are_shown_with_a_line(server, runs):
    home = runs / "small"
    (home / "20260106-080000").mkdir()
    (home / "20269999-999999" / "logs").mkdir(parents=True)
    board = json.loads((home / FIRST / "leaderboard.json").read_text())
    board["models"][0]["carbon"] = 3
    (home / FIRST / "leaderboard.json").write_text(json.dumps(board))
    (home / SECOND / "leaderboard.json").write_text('{"experiment": ')
    (home / FAILED / "run.json").write_bytes(b"\xff\xfe")
    record = json.loads((home / STOPPED / "run.json").read_text())
    (home / STOPPED / "run.json").write_text(json.dumps({**record, "config": {"models": ["a"], "datasets": None}}))
    page = server.get("/runs/small")
    assert page.code == 200
    for line in (
        "20260106-080000: not a run", "another version wrote it; left out: carbon",
        "leaderboard.json: isn't a leaderboard that this version can read", "run.json: isn't what a run wrote",
    ):  # fmt: skip
        assert line in page.text
    for path in home.glob("2*"):
        found = server.get(f"/runs/small/{path.name}")
        assert found.code == (404 if path.name == "20260106-080000" else 200), found.text
    assert "left out: carbon" in server.get(f"/runs/small/{FIRST}").text
    assert server.get("/").code == 200


def test_figures_that_an_older_version_did_not_write(server, runs):
    path = runs / "small" / SECOND / "leaderboard.json"
    board = json.loads(path.read_text())
    board["datasets"]["images"] |= {"baselines": {"linear": {"loss": 1.0}}, "best_baseline": "linear"}
    board["models"][0] |= {"gate": "passed", "metrics": {"loss": 0.1}, "intervals": {}}
    path.write_text(json.dumps(board))
    for page in ("/", "/runs/small", f"/diff?a=small/{FIRST}&b=small/{SECOND}"):
        assert server.get(page).code == 200, page
    page = server.get(f"/runs/small/{SECOND}")
    assert page.code == 200
    assert "passed" in page.text


def without_a_metric(board, fold):
    fold["models"]["mlp"].clear()


def without_times(board, fold):
    del fold["times"]["test"]


def behind_by_half_an_interval(board, fold):
    board["models"][0]["behind"] = [0.5]


@pytest.mark.parametrize("damage", [without_a_metric, without_times, behind_by_half_an_interval])
def test_a_leaderboard_that_lacks_what_the_page_shows_is_left_out_with_a_line(server, runs, damage):
    path = runs / "small" / SECOND / "leaderboard.json"
    board = json.loads(path.read_text())
    spread = {"mlp": {"accuracy": {"values": [0.7, 0.8], "mean": 0.75, "std": 0.07, "min": 0.7, "max": 0.8}}}
    times = {split: ["2026-01-01T00:00", "2026-01-02T00:00"] for split in ("train", "test")}
    folds = [{"splits": {"train": 5, "test": 3}, "times": times, "models": {"mlp": {"accuracy": 0.7}}}] * 2
    board["datasets"]["images"]["splits"]["test"] = 200
    board["datasets"]["images"]["backtest"] = {"folds": folds, "models": spread, "baselines": {}}
    path.write_text(json.dumps(board))
    assert "Backtest: accuracy on 2 folds" in server.get(f"/runs/small/{SECOND}").text
    damage(board, folds[0])
    path.write_text(json.dumps(board))
    page = server.get(f"/runs/small/{SECOND}")
    assert page.code == 200
    assert "leaderboard.json: lacks what this version shows of it" in page.text
    assert "Backtest" not in page.text
    for other in ("/", "/runs/small", f"/diff?a=small/{FIRST}&b=small/{SECOND}"):
        assert server.get(other).code == 200, other


def test_an_interval_with_one_end_is_not_read(server, runs):
    path = runs / "small" / SECOND / "leaderboard.json"
    board = json.loads(path.read_text())
    board["models"][0]["intervals"]["accuracy"] = [0.5]
    path.write_text(json.dumps(board))
    for page in ("/runs/small", f"/runs/small/{SECOND}"):
        assert "leaderboard.json: isn't a leaderboard that this version can read" in server.get(page).text, page


def test_the_list_reads_the_files_of_each_run_once(server, runs):
    """What is opened, by Python's own audit: twice as many runs cost twice as much."""
    opened, watched = [], threading.Event()

    def hook(event, given):
        if watched.is_set() and event in ("open", "os.scandir", "os.listdir") and str(runs) in str(given[0]):
            opened.append(str(given[0]))

    sys.addaudithook(hook)
    for i in range(20):
        make_run(runs, f"20260201-0800{i:02}")
    watched.set()
    assert server.get("/runs/small").text.count("20260201-0800") == 20
    watched.clear()
    for name in ("run.json", "leaderboard.json"):
        files = [path for path in opened if path.endswith(name) and "20260201-0800" in path]
        assert len(files) == len(set(files)) == 20
    folders = [path for path in opened if "/20260201-0800" in path and not path.endswith(".json")]
    assert len(folders) < 1.1 * sum(path.is_dir() for path in runs.glob("small/20260201-*/**")) + 5


def test_runs_that_vanish_while_they_are_read(server, runs):
    """One thread removes and makes runs, while others ask for pages."""
    home, codes, ended = runs / "small", set(), threading.Event()
    spare = home.parent.parent / "spare"

    def ask():
        while not ended.is_set():
            codes.update(server.get(path).code for path in ("/", "/runs/small", f"/runs/small/{SECOND}"))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(40):
        (home / SECOND).rename(spare)
        shutil.copytree(spare, home / SECOND)
        shutil.rmtree(spare)
    ended.set()
    for thread in threads:
        thread.join()
    assert codes <= {200, 404}
    shutil.rmtree(home)
    assert server.get("/runs/small").code == 404
    assert "There are no runs yet" in server.get("/").text
