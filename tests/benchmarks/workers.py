"""The CNN of configs/families.yaml, trained by one worker on one core and by two with a core each, over loopback.

Examples per second of each, and the ratio; and of two trainings beside each other that have nothing to say to each
other, which is what the machine has for two workers at best: its cores share caches and memory. An epoch's validation
counts; the first epoch doesn't, since its functions are traced in it. Run it on an idle machine:
python tests/benchmarks/workers.py
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TFDS_DATA_DIR", str(Path("data/tfds").absolute()))
sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import yaml

EPOCHS, SEED, USE = 3, 7, 0.1
# About the config's, which is odd and can't be shared by two; and one that waits less for the other worker.
BATCHES = (126, 500)


def host() -> str:
    """An address on loopback whose port is free."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return f"localhost:{found.getsockname()[1]}"


def start(core: int, hosts: list[str], arguments: dict[str, object]) -> subprocess.Popen[str]:
    """A process of a training that has one core, the worker of the same number."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment["TF_CONFIG"] = json.dumps(
        {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": core}} if len(hosts) > 1 else {}
    )
    return subprocess.Popen(
        [sys.executable, __file__, json.dumps({"core": core, **arguments})],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def examples_per_second(dataset: Path, folder: Path, spec: dict[str, object], workers: int) -> float:
    """The speed of a training with so many workers."""
    model = folder / "run" / f"train-{workers}" / "model"
    arguments = {
        "name": f"cnn{workers}",
        "spec_json": json.dumps(spec),
        "seed": SEED,
        "code_version": "",
        "dataset": str(dataset),
        "folder": str(model),
        "checkpoints": str(folder / "checkpoints"),
    }
    hosts = [host() for _ in range(workers)]
    finish([start(core, hosts, arguments) for core in range(workers)])
    return speed(dataset, model)


def beside_each_other(dataset: Path, folder: Path, spec: dict[str, object]) -> float:
    """The speed of two trainings of their own, one on each core, together."""
    models = [folder / str(core) / "run" / "train" / "model" for core in range(2)]
    processes = []
    for core, model in enumerate(models):
        arguments = {"name": "cnn", "spec_json": json.dumps(spec), "seed": SEED, "code_version": ""}
        arguments |= {"dataset": str(dataset), "folder": str(model), "checkpoints": str(folder / str(core))}
        processes.append(start(core, [host()], arguments))
    finish(processes)
    return sum(speed(dataset, model) for model in models)


def finish(processes: list["subprocess.Popen[str]"]) -> None:
    """Wait for trainings.

    Raises:
        RuntimeError: One failed; the end of what it printed.
    """
    for process, output in [(process, process.communicate()[0]) for process in processes]:
        if process.returncode:
            raise RuntimeError(output[-2000:])


def speed(dataset: Path, model: Path) -> float:
    """Examples per second of a training, from its second epoch on."""
    from components.artifacts.dataset import load_info
    from components.artifacts.model import ModelInfo

    seconds = [epoch["seconds"] for epoch in ModelInfo.load(model).history[1:]]
    return load_info(dataset).examples("train") * len(seconds) / sum(seconds)


def main() -> None:
    """Measure both ways to share: the same batch, and a batch of the same size for each worker."""
    from components.ingest.ingest import ingest

    config = yaml.safe_load(Path("configs/families.yaml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        dataset = Path(scratch) / "dataset"
        ingest("fashion", json.dumps({"source": "fashion_mnist", "use": USE}), str(dataset))
        for batch in BATCHES:
            spec = {**config["models"]["cnn"], "epochs": EPOCHS, "batch_size": batch}
            measure(dataset, Path(scratch) / str(batch), spec)


def measure(dataset: Path, folder: Path, spec: dict[str, object]) -> None:
    """Print the speeds with one size of batch."""
    batch = int(str(spec["batch_size"]))
    one = examples_per_second(dataset, folder / "one", spec, 1)
    print(f"cnn, one worker on one core: {one:.0f} examples a second, {batch} a step", flush=True)
    both = beside_each_other(dataset, folder / "both", spec)
    print(f"two trainings of their own on a core each: {both:.0f}, ratio {both / one:.2f}", flush=True)
    for per_replica in (False, True):
        two = examples_per_second(dataset, folder / f"two-{per_replica}", {**spec, "per_replica": per_replica}, 2)
        size = 2 * batch if per_replica else batch
        shares = f"ratio {two / one:.2f}, {two / both:.2f} of the two on their own"
        print(f"two workers on a core each: {two:.0f}, {size} a step, {shares}", flush=True)


def work(job: dict[str, object]) -> None:
    """Train on one core alone."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[int(str(job.pop("core")))]})
    from components.train.train import train

    train(**job)  # type: ignore[arg-type]


if __name__ == "__main__":
    work(json.loads(sys.argv[1])) if len(sys.argv) > 1 else main()
