"""One plain script."""

import sys
from pathlib import Path

from steps import evaluate, export, load, train

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
load(str(folder))
train(str(folder), f"{folder}/model.keras")
evaluate(str(folder), f"{folder}/model.keras")
export(f"{folder}/model.keras", f"{folder}/saved_model")
