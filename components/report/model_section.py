"""The section of the page about a model."""

from dataclasses import dataclass
from pathlib import Path

import yaml
from markupsafe import Markup

from components.artifacts.dataset import ImagesInfo, SeriesInfo
from components.artifacts.evaluation import Evaluation, Mistake, load_predictions, load_quantiles
from components.artifacts.export import Exported, Format
from components.artifacts.leaderboard import ModelEntry
from components.artifacts.model import ModelInfo
from components.artifacts.search import Search
from components.report import card, classification, forecasting, pictures, search, training
from components.report.architecture import architecture
from components.report.data_section import Data, describe
from components.report.svg import Picture


@dataclass(frozen=True)
class ModelSection:
    """The section of the page about a model.

    Attributes:
        info: The description of its training.
        unit: The target's unit; empty for images.
        evaluation: Its results on the test split; None where evaluate failed.
        entry: Its entry in the leaderboard; None where compare failed.
        settings: Its keys in the config that differ from the defaults, as YAML.
        architecture: The drawing of its layers.
        pictures: Its figures.
        confusion: The confusion matrix of a classifier.
        augmented: Training images and what `augment` can make of them, as a data URI; empty where nothing is changed.
        classes: The names of a classifier's classes.
        mistakes: The wrong predictions with the highest probabilities, each after its image as a data URI.
        formats: The formats that it was exported to.
        search: Its search for hyperparameters; None where it had none.
        use: Its intended use.
        limits: Its limits, as sentences.
    """

    info: ModelInfo
    unit: str
    evaluation: Evaluation | None
    entry: ModelEntry | None
    settings: str
    architecture: Markup
    pictures: list[Picture]
    confusion: Picture | None
    augmented: str
    classes: list[str]
    mistakes: list[tuple[str, Mistake]]
    formats: dict[str, Format]
    search: search.SearchSection | None
    use: str
    limits: list[str]


def section(
    model: ModelInfo,
    data: Data,
    evaluation: Evaluation | None,
    folder: Path | None,
    exported: Exported | None,
    entry: ModelEntry | None,
    tuned: Search | None = None,
) -> ModelSection:
    """Draw and describe a model.

    Args:
        model: The description of its training.
        data: Its data set.
        evaluation: Its results on the test split; None where evaluate failed.
        folder: The folder of the evaluation.
        exported: Its formats; None where export failed.
        entry: Its entry in the leaderboard; None where compare failed.
        tuned: Its search for hyperparameters; None where it had none.
    """
    info = data.info
    figures, confusion, mistakes = training.curves(model, info.task), None, []
    if evaluation and isinstance(info, ImagesInfo):
        figures.append(classification.calibration(evaluation, model.temperature))
        confusion = classification.confusion(evaluation, info)
        images = pictures.test_images(data.folder, info, {mistake.example for mistake in evaluation.mistakes})
        mistakes = [(images[mistake.example], mistake) for mistake in evaluation.mistakes]
    elif evaluation and folder and data.table and isinstance(info, SeriesInfo):
        target, forecast = load_predictions(folder)
        figures += [forecasting.errors(evaluation, info)] if info.horizon > 1 else []
        fan = load_quantiles(folder), model.spec.quantiles
        first = data.table.first_rows(info, "test")
        figures += forecasting.windows(evaluation, info, data.rows["test"], first, forecast, *fan)
        figures += [forecasting.hours(evaluation, info)] if len(evaluation.per_hour) > 1 else []
        figures.append(forecasting.residuals(evaluation, info, forecast - target))
    settings = model.spec.model_dump(exclude_defaults=True, exclude={"dataset", "machine"})
    return ModelSection(
        info=model,
        unit=info.unit if isinstance(info, SeriesInfo) else "",
        evaluation=evaluation,
        entry=entry,
        settings=yaml.safe_dump(settings, default_flow_style=True, sort_keys=False, width=10_000).strip(),
        architecture=architecture(model),
        pictures=figures,
        confusion=confusion,
        augmented=pictures.augmented(data.folder, info, model.spec.augment) if isinstance(info, ImagesInfo) else "",
        classes=info.classes if isinstance(info, ImagesInfo) else [],
        mistakes=mistakes,
        formats=exported.formats if exported else {},
        search=search.section(model.name, tuned) if tuned else None,
        use=card.use(model, info, describe(info)),
        limits=card.limits(info, evaluation, entry, model.spec.quantiles),
    )
