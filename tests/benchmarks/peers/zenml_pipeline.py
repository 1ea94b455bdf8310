"""ZenML, with its default local stack and its cache."""

import sys
from pathlib import Path

from steps import evaluate, export, load, train
from zenml import pipeline, step

FOLDER = str(Path(sys.argv[1]).absolute())


@step
def load_step() -> str:
    Path(f"{FOLDER}/data").mkdir(parents=True, exist_ok=True)
    load(f"{FOLDER}/data")
    return f"{FOLDER}/data"


@step
def train_step(data: str) -> str:
    train(data, f"{FOLDER}/model.keras")
    return f"{FOLDER}/model.keras"


@step
def evaluate_step(data: str, model: str) -> float:
    return evaluate(data, model)


@step
def export_step(model: str) -> str:
    export(model, f"{FOLDER}/saved_model")
    return f"{FOLDER}/saved_model"


@pipeline
def peer() -> None:
    data = load_step()
    model = train_step(data)
    evaluate_step(data, model)
    export_step(model)


if __name__ == "__main__":
    peer()
