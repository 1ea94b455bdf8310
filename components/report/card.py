"""What a model card says (Mitchell et al. 2019, doi:10.1145/3287560.3287596) beyond figures: use and limits."""

import numpy as np

from components.artifacts.dataset import DatasetInfo, ImagesInfo, SeriesInfo
from components.artifacts.evaluation import Evaluation
from components.artifacts.leaderboard import FEW, ModelEntry
from components.artifacts.model import ModelInfo
from components.common.words import counted

# An expected calibration error above this is worth a warning.
MISCALIBRATED = 0.05


def use(model: ModelInfo, info: DatasetInfo, example: str) -> str:
    """What the model is for."""
    if isinstance(info, ImagesInfo):
        does = f"gives a probability for each of {counted(len(info.classes), 'class')}"
    else:
        does = f"forecasts {info.columns[0]}"
    return f"{model.name}, of the family {model.spec.family}, {does}. {example} It takes raw values."


def limits(info: DatasetInfo, evaluation: Evaluation | None, entry: ModelEntry | None) -> list[str]:
    """What to know before the model is used, a sentence each."""
    tested = info.examples("test")
    said = [f"It was tested on {counted(tested, 'example')}: its figures say little."] if tested < FEW else []
    if entry and entry.rank is not None and not entry.passed:
        said.append("It did not pass its gate and was not registered.")
    if evaluation is None:
        return [*said, "It was not evaluated: nothing is known of how well it does."]
    if isinstance(info, ImagesInfo):
        return said + _of_classifier(info, evaluation)
    return said + _of_forecaster(info, evaluation)


def _of_classifier(info: ImagesInfo, evaluation: Evaluation) -> list[str]:
    # A class without test examples was never to be found.
    recall = {name: values["recall"] for name, values in evaluation.per_class.items() if values["support"]}
    worst = min(recall, key=recall.__getitem__)
    said = [f"It finds {recall[worst]:.0%} of {worst}, its worst class."] if len(recall) > 1 else []
    wrong = np.array(evaluation.confusion)
    np.fill_diagonal(wrong, 0)
    if wrong.max():
        label, predicted = np.unravel_index(int(wrong.argmax()), wrong.shape)
        said.append(
            f"Its most common mistake takes {info.classes[label]} for {info.classes[predicted]}: "
            f"{wrong[label, predicted]} of {sum(evaluation.confusion[label])}."
        )
    if evaluation.calibration and evaluation.calibration.ece > MISCALIBRATED:
        said.append(
            f"Its probabilities are not to be taken at their word: on average they are "
            f"{evaluation.calibration.ece:.2f} from the accuracy."
        )
    return [
        *said,
        "An image of none of the classes gets one of them all the same. Other sources, sizes or crops weren't tried.",
    ]


def _of_forecaster(info: SeriesInfo, evaluation: Evaluation) -> list[str]:
    unit = f" {info.unit}" if info.unit else ""
    mae = evaluation.per_step["mae"]
    said = []
    if len(mae) > 1:
        said.append(
            f"Its mean error goes from {mae[0]:.3g}{unit} at the first step to {mae[-1]:.3g}{unit} at the last."
        )
    worst = next((window for window in evaluation.windows if window.name == "worst"), None)
    if worst:
        said.append(f"At worst, a whole forecast was off by {worst.mae:.3g}{unit} on average.")
    if len(evaluation.per_hour) > 1:
        hour = max(evaluation.per_hour, key=evaluation.per_hour.__getitem__)
        said.append(f"It errs most between {hour}:00 and {hour}:59, by {evaluation.per_hour[hour]:.3g}{unit}.")
    if evaluation.metrics["mase"] >= 1:
        said.append("It is no better than repeating the season before (MASE of 1 or more).")
    return [*said, "It gives one value a step and no interval. Times unlike those it was trained on weren't tried."]
