"""The same four steps by this pipeline, bare kfp.local, ZenML and a plain script, each in an environment of its own."""

import os
import re
import shutil
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
    """Wall time of a first run and of an unchanged one, and the first without `fit`."""
    found = {}
    for name, needs in PEERS.items():
        python = _environment(name, needs)
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
        found[name] = _twice([str(python), script, str(folder)], folder, settings, again=name != "plain")
    folder = _empty(FOLDER / "peers" / "ours")
    (folder / "peer.yaml").write_text(OURS)
    ours = [sys.executable, "-m", "pipeline", "run", "peer.yaml"]
    found["ours"] = _twice(ours, folder, {"PYTHONPATH": str(ROOT)}, again=True)
    return found


def _twice(command: list[str], folder: Path, settings: dict[str, str], again: bool) -> dict[str, Any]:
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
