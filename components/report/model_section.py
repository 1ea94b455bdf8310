"""The part of the page about a model."""

from dataclasses import dataclass
from pathlib import Path

import yaml
from markupsafe import Markup

from components.artifacts.dataset import ImagesInfo, SeriesInfo
from components.artifacts.evaluation import Evaluation, load_predictions
from components.artifacts.export import Exported, Format
from components.artifacts.leaderboard import ModelEntry
from components.artifacts.model import ModelInfo
from components.artifacts.search import Search
from components.report import card, classification, forecasting, pictures, training, tuning
from components.report.architecture import architecture, shape
from components.report.data_section import Data, describe
from components.report.svg import Picture


@dataclass(frozen=True)
class Mistake:
    """A mistake as a picture.

    Attributes:
        image: A data URI.
        example: Its place in the test split.
        label: The right class.
        predicted: The predicted class.
        probability: Of that.
        file: The name of the image's file; empty where there is none.
    """

    image: str
    example: int
    label: str
    predicted: str
    probability: float
    file: str


@dataclass(frozen=True)
class ModelSection:
    """What the page shows of a model.

    Attributes:
        name: The model's name.
        info: Of its training.
        unit: The target's; empty for images.
        evaluation: On the test split; None if that failed.
        entry: Of the leaderboard; None if there is none.
        settings: What the experiment sets for it, without defaults, as YAML.
        architecture: Its layers, drawn.
        layers: Name, kind, output shape, weights and inputs of each.
        pictures: Its figures.
        confusion: Of a classifier, the confusion matrix.
        mistakes: The most confident ones.
        formats: That it was exported to.
        search: What was tried before; None where nothing was.
        use: What it is for.
        limits: What to know before it is used, a sentence each.
    """

    name: str
    info: ModelInfo
    unit: str
    evaluation: Evaluation | None
    entry: ModelEntry | None
    settings: str
    architecture: Markup
    layers: list[tuple[str, str, str, int, str]]
    pictures: list[Picture]
    confusion: Picture | None
    mistakes: list[Mistake]
    formats: dict[str, Format]
    search: tuning.SearchSection | None
    use: str
    limits: list[str]


def section(
    model: ModelInfo,
    data: Data,
    evaluation: Evaluation | None,
    folder: Path | None,
    exported: Exported | None,
    entry: ModelEntry | None,
    search: Search | None = None,
) -> ModelSection:
    """Draw and describe a model.

    Args:
        model: Of its training.
        data: Its data set.
        evaluation: On the test split; None if that failed.
        folder: Of the evaluation.
        exported: Its formats; None if that failed.
        entry: Of the leaderboard; None if there is none.
        search: For its hyperparameters; None if there was none.
    """
    info = data.info
    drawn, confused, wrong = training.curves(model, info.task), None, []
    if evaluation and isinstance(info, ImagesInfo):
        drawn.append(classification.calibration(evaluation))
        confused = classification.confusion(evaluation, info)
        wrong = _mistakes(evaluation, data.folder, info)
    elif evaluation and folder and isinstance(info, SeriesInfo):
        target, forecast = load_predictions(folder)
        drawn += [forecasting.errors(evaluation, info)] if info.horizon > 1 else []
        drawn += forecasting.windows(evaluation, info, data.rows["test"], forecast)
        drawn += [forecasting.hours(evaluation, info)] if len(evaluation.per_hour) > 1 else []
        drawn.append(forecasting.residuals(evaluation, info, forecast - target))
    settings = model.spec.model_dump(exclude_defaults=True, exclude={"dataset", "machine"})
    return ModelSection(
        name=model.name,
        info=model,
        unit=info.unit if isinstance(info, SeriesInfo) else "",
        evaluation=evaluation,
        entry=entry,
        settings=yaml.safe_dump(settings, default_flow_style=True, sort_keys=False, width=10_000).strip(),
        architecture=architecture(model),
        layers=[(la.name, la.kind, shape(la), la.parameters, ", ".join(la.inputs)) for la in model.layers],
        pictures=drawn,
        confusion=confused,
        mistakes=wrong,
        formats=exported.formats if exported else {},
        search=tuning.section(model.name, search) if search else None,
        use=card.use(model, info, describe(info)),
        limits=card.limits(info, evaluation, entry),
    )


def _mistakes(evaluation: Evaluation, folder: str, info: ImagesInfo) -> list[Mistake]:
    images = pictures.of_test(folder, info, {mistake.example for mistake in evaluation.mistakes})
    return [
        Mistake(
            image=images[mistake.example],
            example=mistake.example,
            label=info.classes[mistake.label],
            predicted=info.classes[mistake.predicted],
            probability=mistake.probability,
            file=mistake.file,
        )
        for mistake in evaluation.mistakes
    ]
