"""Disturb whole runs, again and again, and compare what they end with: `make torture ROUNDS=20`.

An experiment is run undisturbed. Then, in each round, its run is killed or asked to end at random moments (the
command, another of its processes, all of them at once), or what a run left is damaged; it is started again, and has to
end as the undisturbed one did: weights, leaderboard, the registry's `current`. No process and no temporary file may be
left, and at no time may something half-done be visible. Exit code 1 where something differs.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from common import ROOT, trained_result, weights_digest

CONFIG = """\
seed: 1
datasets:
  fashion: {source: fashion_mnist, use: 0.01, gate: {majority_class: 0.1}}
  electricity: {source: electricity, use: 0.1, lookback: 96, horizon: 12, calendar: [hour], gate: none}
models:
  mlp:
    {family: mlp, dataset: fashion, epochs: 3, batch_size: 50, checkpoint_seconds: 0.1,
     hyperparameters: {units: [16], dropout: [0.2]},
     tune: {trials: 2, epochs: 1, ranges: {learning_rate: {low: 0.0001, high: 0.01}}}}
  lstm:
    {family: lstm, dataset: electricity, epochs: 3, checkpoint_seconds: 0.1,
     hyperparameters: {units: 8, patch: 12, dropout: 0.2}}
"""
MARK = "KERAS_PIPELINE_TORTURE"
# What a command may end with after each disturbance, beside 0. In its first moments a signal ends it by itself.
ENDS = {"SIGKILL": {-9}, "SIGTERM": {143, -15}, "SIGHUP": {129, -1}, "SIGINT": {130, -2}, "another": {1}, "all": {-9}}
# Of a run: the figures that time or the run's name decides.
OWN = {"run", "created", "pipeline_sha256", "train_seconds", "examples_per_second", "formats"}


class Project:
    """A copy of the project, and its processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a project"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        for name in ("components", "pipeline"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("*.pyc.*"))
        shutil.copyfile(ROOT / "requirements-cpu.lock", self.folder / "requirements-cpu.lock")
        (self.folder / "small.yaml").write_text(CONFIG)
        self.runs = self.folder / "runs"
        self.home = self.runs / "small"
        # Runs that were damaged, or the registry: what a user sees of them needn't be whole until a run has ended.
        self.damaged: set[str] = set()

    def start(self) -> subprocess.Popen[str]:
        """Start a run."""
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", "run", "small.yaml"],
            cwd=self.folder,
            env={**os.environ, MARK: str(self.folder), "TMPDIR": str(self.temporary), "COLUMNS": "160"},
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "output").open("w"),
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def said(self) -> str:
        """What the last run printed."""
        return (self.folder / "output").read_text(errors="replace")

    def processes(self) -> list[int]:
        """All processes of a run that are alive."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                ours = f"{MARK}={self.folder}\0".encode() in (path / "environ").read_bytes()
                if ours and "\nState:\tZ" not in (path / "status").read_text():
                    found.append(int(path.name))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        return found

    def gone(self, seconds: float = 15.0) -> bool:
        """Whether all processes end in time."""
        deadline = time.monotonic() + seconds
        while self.processes():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


def disturb(project: Project, how: str, moment: float, rng: random.Random) -> list[str]:
    """Start a run, disturb it after so many seconds, and wait for its end; what is wrong then."""
    process = project.start()
    try:
        code = process.wait(moment)
    except subprocess.TimeoutExpired:
        others = [pid for pid in project.processes() if pid != process.pid]
        if how == "another":
            victims, number = rng.sample(others, min(1, len(others))), signal.SIGKILL
        elif how == "all":
            victims, number = [process.pid, *others], signal.SIGKILL
        else:
            victims, number = [process.pid], signal.Signals[how]
        for pid in victims:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        code = process.wait(300)
    wrong = [] if code in {0, *ENDS[how]} else [f"exit code {code} after {how}"]
    if not project.gone():
        wrong.append(f"processes are left after {how}")
    if "Traceback" in project.said() and how.startswith("SIG"):
        wrong.append(f"a traceback after {how}")
    return wrong + half_done(project)


def half_done(project: Project) -> list[str]:
    """What a user could see that isn't whole."""
    wrong = []
    for run in project.home.glob("[0-9]*/leaderboard.json"):
        if run.parent.name in project.damaged:
            continue
        board = json.loads(run.read_text())
        for entry in board["models"]:
            if not (run.parent / "models" / entry["model"] / "saved_model").is_dir():
                wrong.append(f"{run.parent.name} is published without {entry['model']}")
        if not (run.parent / "report.html").is_file():
            wrong.append(f"{run.parent.name} is published without its report")
    for link in (project.home / "latest", *project.runs.glob("registry/small/*/current")):
        whole = link / ("leaderboard.json" if link.name == "latest" else "registration.json")
        if link.is_symlink() and not whole.is_file() and not {"registry", link.resolve().name} & project.damaged:
            wrong.append(f"{link.relative_to(project.runs)} points to what isn't whole")
    return wrong


def damage(project: Project, rng: random.Random) -> str:
    """Damage a file of what runs left; which, and how."""
    files = [path for path in project.runs.rglob("*") if path.is_file() or path.is_symlink()]
    # One kind of file after the other, since most are of a few kinds.
    by_kind: dict[tuple[str, str], list[Path]] = {}
    for path in files:
        place = path.relative_to(project.runs).parts[: 2 if "registry" in path.parts else 3]
        by_kind.setdefault((place[1 % len(place)], path.name.rstrip("0123456789")), []).append(path)
    path = rng.choice(by_kind[rng.choice(sorted(by_kind))])
    kind = rng.choice(["cut", "bit", "gone", "empty", "folder"])
    content = bytearray(b"" if path.is_symlink() else path.read_bytes())
    project.damaged.update(path.relative_to(project.runs).parts[:2])
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind != "gone":
        if content:
            place = rng.randrange(len(content))
            content[place] ^= 1 << rng.randrange(8)
        path.write_bytes({"cut": content[: len(content) // 2], "bit": content, "empty": b""}[kind])
    return f"{path.relative_to(project.runs)} {kind}"


def result(project: Project) -> dict:
    """What has to be the same after every run."""
    latest = project.home / "latest"
    board = json.loads((latest / "leaderboard.json").read_text())
    found = {"board": {key: value for key, value in board.items() if key not in OWN}}
    found["board"]["models"] = [{k: v for k, v in entry.items() if k not in OWN} for entry in board["models"]]
    for entry in board["models"]:
        found[entry["model"]] = trained_result(latest / "models" / entry["model"])
    for current in project.runs.glob("registry/small/*/current"):
        registered = json.loads((current / "registration.json").read_text())
        found[current.parent.name] = [registered["model"], registered["metrics"], weights_digest(current)]
    return found


def left(project: Project) -> list[str]:
    """Temporary files."""
    found = [*project.temporary.iterdir(), *project.runs.rglob("*.partial"), *project.runs.rglob(".*.partial")]
    return [f"{path} is left" for path in found]


def finish(project: Project, expected: dict | None) -> tuple[dict, list[str]]:
    """Run to the end: what it gave, and what is wrong."""
    code = project.start().wait(900)
    wrong = [] if code == 0 else [f"exit code {code} of the last run"]
    if "Traceback" in project.said():
        wrong.append("a traceback in the last run")
    if code:
        return {}, wrong
    wrong += [] if project.gone() else ["processes are left after the last run"]
    project.damaged.discard("registry")
    found = result(project)
    if expected is not None:
        wrong += [f"{key} differs" for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)]
    return found, wrong + half_done(project) + left(project)


def main() -> int:
    """Disturb runs as the command line says; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--damaged", type=float, default=0.4, help="share of what is done to files, from 0 to 1")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    rng = random.Random(options.seed)  # noqa: S311
    counted: Counter[str] = Counter()
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        project = Project(Path(name))
        seconds = []
        for _ in range(2):  # from nothing, and from the cache
            begin = time.monotonic()
            expected, wrong = finish(project, None)
            seconds.append(time.monotonic() - begin)
            if wrong:
                print(project.said()[-5000:], *wrong, sep="\n")
                return 1
        for number in range(options.rounds):
            fresh = rng.random() > options.damaged
            if fresh:
                shutil.rmtree(project.runs)
                project.damaged.clear()
            told, wrong = ["from nothing" if fresh else "after a whole run"], []
            for _ in range(rng.randint(1, 3)):
                if project.home.is_dir() and rng.random() < options.damaged:
                    told.append(damage(project, rng))
                    counted["damaged"] += 1
                else:
                    how = rng.choice([*ENDS])
                    moment = rng.uniform(0, seconds[0 if fresh else 1])
                    told.append(f"{how} at {moment:.1f} s")
                    wrong += disturb(project, how, moment, rng)
                    counted[how] += 1
            wrong += finish(project, expected)[1]
            print(f"{number + 1}: {', '.join(told)}: {'; '.join(wrong) or 'the same'}", flush=True)
            if wrong:
                bad += 1
                print(project.said()[-3000:], flush=True)
                # The next round begins with a state that is right.
                shutil.rmtree(project.runs)
                project.damaged.clear()
                finish(project, expected)
    print(f"{counted.total()} disturbances ({dict(sorted(counted.items()))}), {bad} of {options.rounds} rounds wrong")
    return int(bad > 0)


if __name__ == "__main__":
    raise SystemExit(main())
