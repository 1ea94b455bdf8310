"""Where the time goes: `make bench`, or a part of it: `make bench ARGS="training input"`.

Prints ratios, each measured in one run, and writes runs/bench/latest.json and runs/bench/latest.svg. Run it on an idle
machine. A part that isn't run keeps its last figures.
"""

import argparse
import json
import time
from typing import Any

from common import FOLDER

PARTS = ("training", "input", "around", "schedule", "growth", "time_to_accuracy", "peers", "serving")


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all of them by default")
    parser.add_argument("--seminar", action="store_true", help="train the seminar's CNN to its end, most of an hour")
    arguments = parser.parse_args()
    latest = FOLDER / "latest.json"
    FOLDER.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = json.loads(latest.read_text()) if latest.is_file() else {}
    for part in arguments.parts or PARTS:
        start = time.perf_counter()
        found |= measure(part, arguments.seminar)
        from components.common.files import write_json

        write_json(latest, found)
        print(f"{part}: {time.perf_counter() - start:.0f} s", flush=True)
        show(part, found)
    from plot import plot

    plot(found, FOLDER / "latest.svg")
    print(f"{latest}, {FOLDER / 'latest.svg'}")


def measure(part: str, seminar: bool) -> dict[str, Any]:
    """The sections of the results that a part fills."""
    if part == "training":
        from training import training

        return {part: training()}
    if part == "input":
        from consumption import consumption

        speeds, checkpointing = consumption()
        return {"input": speeds, "checkpointing": checkpointing}
    if part == "around":
        from around import around

        return {part: around()}
    if part == "schedule":
        from schedule import schedule

        return {part: schedule()}
    if part == "growth":
        from growth import growth

        return {part: growth()}
    if part == "time_to_accuracy":
        from accuracy import time_to_accuracy

        return {part: time_to_accuracy(seminar)}
    if part == "serving":
        from serving import serving

        return {part: serving()}
    from peers import peers

    return {part: peers()}


def show(part: str, found: dict[str, Any]) -> None:
    """Print a part's figures, a line each."""
    for section in ("input", "checkpointing") if part == "input" else (part,):
        for name, values in found[section].items():
            for entry in values if isinstance(values, list) else [values]:
                said = entry if not isinstance(entry, dict) else "  ".join(f"{k} {_short(v)}" for k, v in entry.items())
                print(f"  {section} {name}: {_short(said)}")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
