"""The use and the limits of a model, as in a model card (Mitchell et al. 2019, doi:10.1145/3287560.3287596)."""

import numpy as np

from components.artifacts.dataset import DatasetInfo, ImagesInfo, SeriesInfo
from components.artifacts.evaluation import Evaluation
from components.artifacts.leaderboard import FEW, ModelEntry
from components.artifacts.model import ModelInfo
from components.common.words import counted

# An expected calibration error above this is worth a warning.
MISCALIBRATED = 0.05


def use(model: ModelInfo, info: DatasetInfo, example: str) -> str:
    """The intended use of a model.

    Args:
        model: The description of its training.
        info: The description of its data set.
        example: A sentence on what an example is.
    """
    if isinstance(info, ImagesInfo):
        does = f"gives a probability for each of {counted(len(info.classes), 'class')}"
    else:
        does = f"forecasts {info.columns[0]}"
    return f"{model.name}, of the family {model.spec.family}, {does}. {example} It takes raw values."


def limits(
    info: DatasetInfo, evaluation: Evaluation | None, entry: ModelEntry | None, quantiles: list[float]
) -> list[str]:
    """The limits of a model, which may forecast quantiles, as sentences."""
    tested = info.examples("test")
    sentences = [f"It was tested on {counted(tested, 'example')}: its figures say little."] if tested < FEW else []
    if entry and entry.rank is not None and not entry.passed:
        sentences.append("It did not pass its gate and was not registered.")
    if evaluation is None:
        return [*sentences, "It was not evaluated: nothing is known of how well it does."]
    if isinstance(info, ImagesInfo):
        return sentences + _classifier_limits(info, evaluation)
    return sentences + _forecaster_limits(info, evaluation, quantiles)


def _classifier_limits(info: ImagesInfo, evaluation: Evaluation) -> list[str]:
    # The recall of a class without test examples is 0, which says nothing.
    recall = {name: values["recall"] for name, values in evaluation.per_class.items() if values["support"]}
    worst = min(recall, key=recall.__getitem__)
    sentences = [f"It finds {recall[worst]:.0%} of {worst}, its worst class."] if len(recall) > 1 else []
    wrong = np.array(evaluation.confusion)
    np.fill_diagonal(wrong, 0)
    if wrong.max():
        label, predicted = np.unravel_index(int(wrong.argmax()), wrong.shape)
        sentences.append(
            f"Its most common mistake takes {info.classes[label]} for {info.classes[predicted]}: "
            f"{wrong[label, predicted]} of {sum(evaluation.confusion[label])}."
        )
    if evaluation.metrics["ece"] > MISCALIBRATED:
        sentences.append(
            f"Its probabilities are not to be taken at their word: on average they are "
            f"{evaluation.metrics['ece']:.2f} from the accuracy."
        )
    return [
        *sentences,
        "An image of none of the classes gets one of them all the same. Other sources, sizes or crops weren't tried.",
    ]


def _forecaster_limits(info: SeriesInfo, evaluation: Evaluation, quantiles: list[float]) -> list[str]:
    unit = f" {info.unit}" if info.unit else ""
    mae = evaluation.per_step["mae"]
    sentences = []
    if len(mae) > 1:
        sentences.append(
            f"Its mean error goes from {mae[0]:.3g}{unit} at the first step to {mae[-1]:.3g}{unit} at the last."
        )
    worst = next((window for window in evaluation.windows if window.name == "worst"), None)
    if worst:
        sentences.append(f"At worst, a whole forecast was off by {worst.mae:.3g}{unit} on average.")
    if len(evaluation.per_hour) > 1:
        hour = max(evaluation.per_hour, key=evaluation.per_hour.__getitem__)
        sentences.append(f"It errs most between {hour}:00 and {hour}:59, by {evaluation.per_hour[hour]:.3g}{unit}.")
    if evaluation.metrics["mase"] >= 1:
        sentences.append("It is no better than repeating the season before (MASE of 1 or more).")
    if quantiles:
        sentences.append(
            f"Its widest interval is meant to hold {quantiles[-1] - quantiles[0]:.0%} of the values, "
            f"and held {evaluation.metrics['coverage']:.0%} of those it was tested on."
        )
    else:
        sentences.append("It gives one value a step and no interval.")
    return [*sentences, "Times unlike those it was trained on weren't tried."]
