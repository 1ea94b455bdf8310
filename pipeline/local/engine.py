"""The process that kfp.local runs in.

It has a process group of its own, which `run` ends as a whole. Its standard output is read by `events`.
"""

import contextlib
import gc
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.files import write_json
from pipeline.local.containers import remove, run_container
from pipeline.local.warm_task import SOCKET, start_server

if TYPE_CHECKING:
    from kfp import local


def main(warm: bool) -> None:
    """Get ready to run a pipeline, and run the one that standard input names.

    A request is a line of JSON: `pipeline`, the YAML; `parameters` of the run; `root`, the folder of outputs; `cache`,
    the folder of cache entries; `shim`, a folder with a `python3` that starts tasks; `result`, the JSON file that gets
    the paths of the pipeline's outputs; `log`, the file for standard error; `home`, the experiment's folder;
    `containers`, how they are started, or None for processes; `changed`, whether there are tasks that the cache hasn't.

    Args:
        warm: Tasks will run, in processes.
    """
    if warm:
        start_server(os.environ[SOCKET])
    from kfp import components, local

    line = sys.stdin.readline()
    if not line:
        _end_group()
    request = json.loads(line)
    containers = request["containers"]
    home = Path(request["home"]) if containers else None
    threading.Thread(target=_end_with_parent, args=[home], daemon=True).start()
    with Path(request["log"]).open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 2)
    if request["changed"] and not containers and not warm:
        start_server(os.environ[SOCKET])
    # kfp logs a cache hit outside its own logging context, so only a handler of ours sees it.
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s - %(message)s")
    # kfp replaces the text "python3" in all arguments by this, paths included; this way it changes nothing.
    sys.executable = "python3"
    os.environ["PATH"] = request["shim"] + os.pathsep + os.environ["PATH"]
    local.init(
        runner=_docker_runner(containers) if containers else local.SubprocessRunner(use_venv=False),
        pipeline_root=request["root"],
        workspace_root=str(Path(request["root"]) / "workspace"),
        enable_caching=True,
        cache_root=request["cache"],
    )
    # The task that an exception of kfp's names was logged already.
    try:
        task = components.load_component_from_file(request["pipeline"])(**request["parameters"])
    except RuntimeError as error:
        print(f"ERROR - {error}", flush=True)
        raise SystemExit(1) from None
    write_json(Path(request["result"]), {name: output.path for name, output in task.outputs.items()})


def _docker_runner(arguments: dict[str, Any]) -> "local.DockerRunner":
    from kfp import local
    from kfp.local import docker_task_handler

    docker_task_handler.run_docker_container = run_container
    return local.DockerRunner(**arguments)


def _end_with_parent(home: Path | None) -> None:
    """End this process and all it started when the parent is gone, however that ended: its pipe closes."""
    os.read(0, 1)
    if home:
        with contextlib.suppress(Exception):
            remove(home)
    _end_group()


def _end_group() -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    gc.set_threshold(100_000)  # see `pipeline.__main__`
    main(sys.argv[1:] == ["warm"])
