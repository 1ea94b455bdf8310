"""Finished runs: what each one was, how they differ, what they have read, and what they take on disk."""

from pathlib import Path

# The folder of all runs, and names in it.
RUNS = Path("runs")
REGISTRY = RUNS / "registry"
LATEST = "latest"
REPORT = "report.html"
