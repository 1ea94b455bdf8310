"""What the server of the pages refuses, and what its command says, through a real socket."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from asked_pages import ELSEWHERE, FIRST, ROOT, SECOND, asking, five_runs
from made_runs import serving


@pytest.fixture
def runs(tmp_path):
    return five_runs(tmp_path)


@pytest.fixture
def server(runs):
    """The server in this process, asked by sockets."""
    with serving(runs) as server:
        yield asking(server.server_address[1])


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
