"""The same four steps by this pipeline, bare kfp.local, ZenML and a plain script, each with its own environment."""

import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from common import FOLDER, ROOT

SCRIPTS = Path(__file__).parent / "peers"
# What each needs beside tensorflow-cpu and tensorflow-datasets.
PEERS = {"plain": [], "kfp_local": ["kfp==2.17.0"], "zenml": ["zenml[local]==0.98.0"]}
COMMON = ["tensorflow-cpu==2.21.0", "keras==3.15.1", "tensorflow-datasets==4.9.10", "importlib_resources"]
# Wall time of the same run differs by a tenth.
TURNS = 3
OURS = """\
seed: 7
datasets:
  fashion: {source: fashion_mnist, gate: {majority_class: 0.3}}
models:
  mlp:
    family: mlp
    dataset: fashion
    epochs: 3
    batch_size: 100
    hyperparameters: {units: [256, 64], dropout: [0.2, 0.0]}
"""


def peers() -> dict[str, Any]:
    """Medians of three turns: wall time of a first run, the same without `fit`, and wall time of an unchanged one."""
    turns = [{**{name: _peer(name) for name in PEERS}, "ours": _ours()} for _ in range(TURNS)]
    return {
        name: {key: statistics.median(turn[name][key] for turn in turns) for key in first}
        for name, first in turns[0].items()
    }


def _peer(name: str) -> dict[str, float]:
    python = _environment(name, PEERS[name])
    folder = _empty(FOLDER / "peers" / name)
    # ZenML wants its script below the folder that it was told of.
    shutil.copytree(SCRIPTS, folder, dirs_exist_ok=True)
    script = {"zenml": "zenml_pipeline.py"}.get(name, f"{name}.py")
    settings = {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "ZENML_CONFIG_PATH": str(folder / "zenml"),
        "ZENML_ANALYTICS_OPT_IN": "false",
        "AUTO_OPEN_DASHBOARD": "false",
    }
    if name == "zenml":
        subprocess.run([python.parent / "zenml", "init"], cwd=folder, env={**os.environ, **settings}, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    return _twice([str(python), script, str(folder)], folder, settings, again=name != "plain")


def _ours() -> dict[str, float]:
    folder = _empty(FOLDER / "peers" / "ours")
    (folder / "peer.yaml").write_text(OURS)
    command = [sys.executable, "-m", "pipeline", "run", "peer.yaml"]
    return _twice(command, folder, {"PYTHONPATH": str(ROOT)}, again=True)


def _twice(command: list[str], folder: Path, settings: dict[str, str], again: bool) -> dict[str, float]:
    wall, said = _timed(command, folder, settings)
    # Ours says it with its best epoch.
    fit = re.search(r"\bfit ([\d.]+)|([\d.]+) s of training", said)
    assert fit, said
    seconds = float(fit[1] or fit[2])
    result = {"wall_s": wall, "fit_s": seconds, "around_s": wall - seconds, "lines": len(said.splitlines())}
    # Baselines, the comparison, the registry and the report are steps that the others don't have.
    own = re.findall(r"^done +(?:baseline|compare|register|report)\S* +([\d.]+) s", said, re.MULTILINE)
    if own:
        result["around_four_steps_s"] = result["around_s"] - sum(map(float, own))
    return {**result, "rerun_s": _timed(command, folder, settings)[0]} if again else result


def _timed(command: list[str], folder: Path, settings: dict[str, str]) -> tuple[float, str]:
    start = time.perf_counter()
    environment = {**os.environ, **settings}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise SystemExit(done.stdout)
    return time.perf_counter() - start, done.stdout


def _environment(name: str, needs: list[str]) -> Path:
    folder = (FOLDER / "environments" / name).absolute()
    python = folder / "bin" / "python"
    mark = folder / "needs.txt"
    wanted = "\n".join([*COMMON, *needs])
    if not (mark.is_file() and mark.read_text() == wanted):
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
        subprocess.run([*install, *COMMON, *needs], check=True)
        mark.write_text(wanted)
    return python


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder.absolute()
