"""The server under load, from another process: requests a second, latencies, and what a rolling restart loses."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from common import FOLDER, SEED, dataset, shipped
from PIL import Image

SECONDS = 10.0
CONNECTIONS = 16
PORTS = (8311, 8312)


def serving() -> dict[str, Any]:
    """For each model: with one connection, with CONNECTIONS; and over a rolling restart, where none may be lost."""
    found = {}
    for name, folder in _exports().items():
        golden = json.loads((folder / "golden.json").read_text())
        request = _request({"instances": golden["instances"][:1]})
        server = _start(folder, PORTS[0])
        try:
            alone = asyncio.run(_load([PORTS[0]], request, 1))
            many = asyncio.run(_load([PORTS[0]], request, CONNECTIONS))
            memory = _memory(PORTS[0])
        finally:
            _stop(server)
        found[name] = {
            "request_kb": len(request) / 1000,
            "alone_p50_ms": alone["p50_ms"],
            "alone_p99_ms": alone["p99_ms"],
            "requests_per_s": many["requests_per_s"],
            "p50_ms": many["p50_ms"],
            "p99_ms": many["p99_ms"],
            "memory_mb": memory,
            "lost": alone["lost"] + many["lost"],
        }
    folder = _exports()["mlp"]
    golden = json.loads((folder / "golden.json").read_text())
    found["rolling_restart"] = asyncio.run(_restarts(folder, _request({"instances": golden["instances"][:1]})))
    return found


def _exports() -> dict[str, Path]:
    """Models of the shipped architectures, trained for an epoch: what they answer doesn't matter here."""
    from components.export.export import export
    from components.train.train import train

    pictures = FOLDER.absolute() / "pictures"
    generator = np.random.default_rng(SEED)
    for label, colour in (("blue", (20, 40, 200)), ("red", (220, 30, 10))):
        (pictures / label).mkdir(parents=True, exist_ok=True)
        for i in range(20):
            if not (pictures / label / f"{i}.png").is_file():
                pixels = generator.normal(colour, 30, (224, 224, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(pictures / label / f"{i}.png")
    families = shipped("families")
    images = {"source": "image_folder", "path": str(pictures), "height": 224, "width": 224}
    data = {
        "fashion": dataset("served-fashion", {**families["datasets"]["fashion"], "use": 0.02}),
        "electricity": dataset("served-electricity", {**families["datasets"]["electricity"], "use": 0.2}),
        "pictures": dataset("served-pictures", images),
    }
    specs = {name: families["models"][name] for name in ("mlp", "cnn", "lstm")}
    layers = [{"conv": 32}, "pool", {"conv": 64}, "pool", {"conv": 128}, "pool", "average"]
    specs["cnn_224x224x3"] = {
        "family": "cnn",
        "dataset": "pictures",
        "batch_size": 8,
        "hyperparameters": {"layers": layers, "units": [256]},
    }
    folders = {}
    for name, spec in specs.items():
        folders[name] = FOLDER.absolute() / "served" / name
        if not (folders[name] / "model.onnx").is_file():
            trained = FOLDER / "served" / "run" / f"train-{name}" / "model"
            spec = {**spec, "epochs": 1}
            given, checkpoints = str(data[spec["dataset"]]), str(FOLDER / "served" / "checkpoints")
            train(name, json.dumps(spec), SEED, "", given, str(trained), checkpoints)
            export(str(trained), given, str(folders[name]), ["onnx"])
    return folders


def _request(content: dict[str, Any]) -> bytes:
    body = json.dumps(content, separators=(",", ":")).encode()
    return f"POST /predict HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "MODEL": str(folder), "PORT": str(port)}
    server = subprocess.Popen([sys.executable, "-m", "components.serve"], env=environment)
    while not _healthy(port):
        if server.poll() is not None:
            raise SystemExit("the server didn't start")
        time.sleep(0.1)
    return server


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGTERM)
    if server.wait() != 0:
        raise SystemExit("the server didn't end as it should")


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _memory(port: int) -> float:
    metrics = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
    return float(next(line for line in metrics if line.startswith("process_resident")).split()[1]) / 1e6


async def _load(ports: list[int], request: bytes, connections: int, until: asyncio.Event | None = None) -> Any:
    """Send request after request on each connection, for SECONDS or until an event; `ports` may change meanwhile."""
    taken: list[float] = []
    lost = 0
    began = time.perf_counter()

    async def client(number: int) -> None:
        nonlocal lost
        writer = None
        while (until is None and time.perf_counter() - began < SECONDS) or (until and not until.is_set()):
            start = time.perf_counter()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", ports[number % len(ports)])
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.split(b":")[1]))
                lost += not head.startswith(b"HTTP/1.1 200")
                taken.append(time.perf_counter() - start)
                if b"connection: close" in head.lower():
                    writer.close()
                    writer = None
            except (OSError, asyncio.IncompleteReadError):
                lost += 1
                writer = None
        if writer is not None:
            writer.close()

    await asyncio.gather(*(client(i) for i in range(connections)))
    seconds = time.perf_counter() - began
    p50, p99 = np.quantile(taken, (0.5, 0.99)) * 1000
    return {"requests_per_s": len(taken) / seconds, "p50_ms": float(p50), "p99_ms": float(p99), "lost": lost}


async def _restarts(folder: Path, request: bytes) -> dict[str, Any]:
    """Two servers are replaced one after the other, twice; a balancer sends nothing to one that isn't healthy."""
    servers = {port: await asyncio.to_thread(_start, folder, port) for port in PORTS}
    healthy, done = list(PORTS), asyncio.Event()

    async def balance() -> None:
        async with httpx.AsyncClient(timeout=2) as client:
            while not done.is_set():
                answers = await asyncio.gather(
                    *(client.get(f"http://127.0.0.1:{port}/healthz") for port in PORTS), return_exceptions=True
                )
                fine = [isinstance(a, httpx.Response) and a.status_code == 200 for a in answers]
                healthy[:] = [port for port, is_fine in zip(PORTS, fine, strict=True) if is_fine] or healthy
                await asyncio.sleep(0.2)

    async def replace() -> None:
        for port in PORTS * 2:
            await asyncio.to_thread(_stop, servers[port])
            servers[port] = await asyncio.to_thread(_start, folder, port)
            await asyncio.sleep(1)
        done.set()

    measured, *_ = await asyncio.gather(_load(healthy, request, CONNECTIONS, done), balance(), replace())
    for server in servers.values():
        await asyncio.to_thread(_stop, server)
    return {"restarts": 2 * len(PORTS), **measured}
