import os
import select
import signal
import socket
import subprocess
import sys
import threading

import pytest

from pipeline.local.warm import write_shim
from pipeline.local.warm_task import SOCKET


@pytest.fixture
def python(tmp_path):
    """Starts a `python3` as kfp.local's tasks do, and ends what it started."""
    write_shim(tmp_path / "bin")
    (tmp_path / "told.py").write_text(
        "import os, sys\nprint(*sys.argv[1:], os.environ['WORD'], os.getcwd(), 'tensorflow' in sys.modules)\n"
    )
    (tmp_path / "ends.py").write_text(
        "import os, signal, sys\n"
        "sys.exit(int(sys.argv[1])) if sys.argv[1].isdigit() else os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    groups = []

    def run(*arguments):
        path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
        process = subprocess.Popen(
            ["python3", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PATH": path, SOCKET: str(tmp_path / "socket"), "WORD": "here"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        groups.append(process.pid)
        said, errors = process.communicate(timeout=120)
        return process.returncode, said.split() or errors.splitlines()[-1:]

    yield run
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


def test_a_task_is_forked_from_a_process_that_has_imported_tensorflow(python, tmp_path):
    # A file that is left of a server that was killed.
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "socket"))
    assert python("-m", "told", "a", "b c") == (0, ["a", "b", "c", "here", str(tmp_path), "True"])
    # Its code is read anew, its end is told.
    (tmp_path / "told.py").write_text("print('changed')")
    assert python("-m", "told") == (0, ["changed"])
    assert python("-m", "ends", "3")[0] == 3
    assert python("-m", "ends", "killed")[0] == 128 + signal.SIGKILL
    assert python("-m", "told_not") == (1, ["ImportError: No module named told_not"])


@pytest.mark.parametrize("accepted", [True, False])
def test_without_a_server_the_real_python_runs_the_task(accepted, python, tmp_path):
    def die_of_imports(listener):
        select.select([listener], [], [])
        if accepted:
            listener.accept()[0].close()
        listener.close()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        server = threading.Thread(target=die_of_imports, args=[listener])
        server.start()
        assert python("-m", "told", "a") == (0, ["a", "here", str(tmp_path), "False"])
        server.join()


def test_what_is_no_module_is_run_by_the_real_python(python, tmp_path):
    assert python("told.py", "a") == (0, ["a", "here", str(tmp_path), "False"])
    assert python("-c", "import sys; print(sys.executable)") == (0, [sys.executable])
    assert not (tmp_path / "socket").exists()
