"""The pages of runs, asked for through a real socket: what they say, what they refuse, and what they survive."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_runs import make_run, serving

ROOT = Path(__file__).parent.parent.parent
FIRST, SECOND, FAILED, KILLED, STOPPED = (f"2026010{i}-080000" for i in range(1, 6))
ELSEWHERE = "it lies elsewhere"


class Text(HTMLParser):
    """The text of a page, and its links."""

    def __init__(self, html):
        super().__init__()
        self.text, self.links = "", []
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attributes):
        self.text += " " * (tag in ("br", "td", "th"))
        self.links += [value for name, value in attributes if name in ("href", "src")]

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def runs(tmp_path):
    """Five runs: the first, a better one, one that failed, one that was killed, one that was stopped."""
    runs = tmp_path / "project" / "runs"
    make_run(runs, FIRST, epochs=1, right=120)
    make_run(runs, SECOND, epochs=8, right=180, models=("mlp", "<b>bold"))
    make_run(runs, FAILED, state="failed", failures={"train-mlp": "ValueError: <script>alert(1)</script>"})
    make_run(runs, KILLED, state="running")
    make_run(runs, STOPPED, state="stopped")
    (tmp_path / "secret.json").write_text(ELSEWHERE)
    (runs / "small" / ".work").mkdir()
    (runs / "small" / ".work" / "notes.log").write_text(ELSEWHERE)
    return runs


@pytest.fixture
def server(runs):
    """The server in this process, asked by sockets."""
    with serving(runs) as server:
        yield asking(server.server_address[1])


def asking(port):
    """Functions that ask the server."""

    def get(path, method="GET", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        kind = response.headers["Content-Type"]
        text = Text(content.decode()) if kind.startswith("text/html") else None
        return SimpleNamespace(
            code=response.status, content=content, headers=response.headers, text=text and text.text,
            links=text and text.links,
        )  # fmt: skip

    def raw(request):
        """The answer to bytes."""
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))

    return SimpleNamespace(get=get, raw=raw, port=port)


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


TRICKS = [
    "/files/small/{first}/../../../../secret.json",
    "/files/small/{first}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret.json",
    "/files/small/{first}/..%2f..%2f..%2f..%2fsecret.json",
    "/files/small/{first}/%252e%252e/%252e%252e/%252e%252e/%252e%252e/secret.json",
    "/files/small/{first}/..%5c..%5csecret.json",
    "/files/small/{first}/%c0%ae%c0%ae/secret.json",
    "/files/small/{first}//../../../../secret.json",
    "/files/small/{first}/logs/%00/../train-mlp.log%00.json",
    "/files/../secret.json",
    "/files/small/../../../secret.json",
    "/files/small/.work/notes.log",
    "/files/small/%2ework/notes.log",
    "/files/small/{first}/../.work/notes.log",
    "/files/small/{first}/link.json",
    "/files/small/{first}/folder/secret.json",
    "/files/small/{first}/hidden.log",
    "/files/small/{outside}/secret.json",
    "/files/elsewhere/{first}/secret.json",
    "/files//{first}/secret.json",
    "/files/small/{first}/",
    "/files/small/{first}/logs",
    "/files/small/{first}/pipe.log",
    "/files/small/{first}/.hidden.log",
    "/files/small/latest/leaderboard.json",
    "/files/{absolute}",
    "/runs/elsewhere",
    "/runs/small/{outside}",
    "/runs/../..",
    "/runs/.work",
    "/page.css/../../secret.json",
    "/../secret.json",
    "secret.json",
    "http://127.0.0.1/files/small/{first}/../../../../secret.json",
]


@pytest.mark.parametrize("trick", TRICKS)
def test_nothing_outside_is_served(server, runs, trick):
    folder, outside = runs / "small" / FIRST, "20260109-080000"
    secret = runs.parent.parent / "secret.json"
    (folder / "link.json").symlink_to(secret)
    (folder / "folder").symlink_to(secret.parent)
    (folder / "hidden.log").symlink_to("../.work/notes.log")
    (folder / ".hidden.log").write_text(ELSEWHERE)
    os.mkfifo(folder / "pipe.log")
    (runs / "small" / outside).symlink_to(secret.parent)
    (secret.parent / FIRST).mkdir()
    shutil.copyfile(secret, secret.parent / FIRST / "secret.json")
    (runs / "elsewhere").symlink_to(secret.parent)
    path = trick.format(first=FIRST, outside=outside, absolute=str(secret).replace("/", "%2f"))
    answer = server.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert answer.startswith((b"HTTP/1.0 404", b"HTTP/1.0 400"))
    assert ELSEWHERE.encode() not in answer
    assert b"Traceback" not in answer
    assert outside not in server.get("/runs/small").text
    assert "elsewhere" not in server.get("/").text
    assert "small 5" in server.get("/").text


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "127.0.0.2", ""]
)
def test_another_name_of_this_machine_is_refused(server, host):
    assert server.raw(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).startswith(b"HTTP/1.0 403")


def test_hosts_that_are_this_machine(server):
    for host in ("localhost", f"127.0.0.1:{server.port}", "LOCALHOST:9", "[::1]:8"):
        assert server.get("/", Host=host).code == 200
    assert server.raw(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.0 403")
    assert server.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n").startswith(b"HTTP/1.0 403")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_it_only_reads(server, method):
    found = server.get("/", method)
    assert (found.code, found.headers["Allow"]) == (405, "GET, HEAD")


def test_head_is_get_without_its_content(server):
    for path in ("/runs/small", f"/files/small/{FIRST}/report.html", "/nothing"):
        head, whole = server.get(path, "HEAD"), server.get(path)
        assert (head.code, head.content) == (whole.code, b"")
        assert int(head.headers["Content-Length"]) == len(whole.content)


@pytest.mark.parametrize(
    "request_", [b"", b"\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 70000]
)
def test_what_is_no_request_does_no_harm(server, request_):
    assert b"Traceback" not in server.raw(request_)
    assert server.get("/").code == 200


def test_headers_keep_other_sites_out(server):
    for path in ("/", "/runs/small", "/page.js", f"/files/small/{FIRST}/leaderboard.json", "/nothing"):
        headers = server.get(path, Origin="http://evil.example").headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert not [name for name in headers if name.startswith("Access-Control")]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    page, report = (
        server.get(path).headers["Content-Security-Policy"] for path in ("/", f"/files/small/{FIRST}/report.html")
    )
    assert "unsafe" not in page
    assert report.startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in report


def test_kinds_of_files(server, runs):
    (runs / "small" / FIRST / "model.keras").write_bytes(b"PK")
    found = server.get(f"/files/small/{FIRST}/model.keras")
    assert found.headers["Content-Disposition"] == "attachment"
    assert found.content == b"PK"
    log = server.get(f"/files/small/{FIRST}/logs/train-mlp.log")
    assert (log.headers["Content-Type"], log.content) == ("text/plain; charset=utf-8", b"epoch 1\n")


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
    assert "leaderboard.json: lacks what this version shows of it" in page.text


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


def started(runs, *arguments):
    command = [sys.executable, "-m", "pipeline", "ui", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=runs.parent, env=environment, stdout=-1, stderr=-1, text=True)


def test_the_command_prints_its_address_and_ends_with_ctrl_c(runs):
    with started(runs) as process, contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        address = process.stdout.readline().split()[0]
        port = int(address.rsplit(":", 1)[1].strip("/"))
        assert address == f"http://127.0.0.1:{port}/"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", f"/runs/small/{SECOND}")
        assert connection.getresponse().status == 200
        for other in {address for *_, (address, *_) in socket.getaddrinfo(socket.gethostname(), None)} - {"127.0.0.1"}:
            with pytest.raises(OSError), socket.create_connection((other, port), timeout=5):
                pass
        taken = started(runs, "--port", str(port))
        assert taken.communicate(timeout=60)[1] == (
            f"error: --port {port}: Address already in use; expected a free port, or none to have one chosen\n"
        )
        assert taken.returncode == 2
        idle = socket.create_connection(("127.0.0.1", port))  # a browser that holds a connection
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == ""
        idle.close()


def test_a_download_that_stalls_gets_no_other_page(server, runs, monkeypatch, capsys):
    """The browser takes the headers, and nothing more until the server has given up."""
    with (runs / "small" / FIRST / "model.keras").open("wb") as file:
        file.truncate(64_000_000)
    monkeypatch.setattr("pipeline.ui.server._Handler.timeout", 1)
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(f"GET /files/small/{FIRST}/model.keras HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = connection.recv(1 << 16)
        time.sleep(1.5)
        answer += b"".join(iter(lambda: connection.recv(1 << 16), b""))
    headers, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Length: 64000000" in headers
    assert not body.strip(b"\0")
    assert server.get("/").code == 200
    assert capsys.readouterr().err == ""


def test_a_folder_without_runs_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    process = started(tmp_path / "empty" / "runs")
    said = process.communicate(timeout=60)[1]
    assert (process.returncode, said.count("\n")) == (2, 1)
    assert "runs: no such folder" in said
