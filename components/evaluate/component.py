"""The KFP signatures of evaluate, one for each task. Vertex AI's console shows the metrics that they fill."""

from kfp import dsl

from components.common.component import component


@component
def evaluate_classification(
    seed: int,
    code_version: str,
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    classification_metrics: dsl.Output[dsl.ClassificationMetrics],
) -> None:
    """Measure a classifier on the test split.

    Args:
        seed: The seed of the resampling for intervals.
        code_version: The digest of the step's code, so that KFP's cache runs changed code.
        dataset: The data set's folder.
        model: The model's folder.
        evaluation: The folder of metrics and predictions to write.
        metrics: accuracy, loss, macro F1.
        classification_metrics: The confusion matrix.
    """
    from pathlib import Path

    from components.artifacts.dataset import ImagesInfo, load_info
    from components.evaluate.evaluate import evaluate

    result = evaluate(model.path, dataset.path, seed, evaluation.path)
    for name, value in result.metrics.items():
        metrics.log_metric(name, value)
    info = load_info(dataset.path)
    if isinstance(info, ImagesInfo):
        classification_metrics.log_confusion_matrix(info.classes, result.confusion)
    # kfp.local caches a task only if each of its outputs exists.
    for artifact in (metrics, classification_metrics):
        Path(artifact.path).write_text("{}", encoding="utf-8")


@component
def evaluate_forecasting(
    seed: int,
    code_version: str,
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Measure a forecaster on the test windows.

    Args:
        seed: The seed of the resampling for intervals.
        code_version: The digest of the step's code, so that KFP's cache runs changed code.
        dataset: The data set's folder.
        model: The model's folder.
        evaluation: The folder of metrics and predictions to write.
        metrics: mae, rmse, mase over the horizon, and the mae at its first and last step.
    """
    from pathlib import Path

    from components.evaluate.evaluate import evaluate

    result = evaluate(model.path, dataset.path, seed, evaluation.path)
    for name, value in result.metrics.items():
        metrics.log_metric(name, value)
    metrics.log_metric("mae_first_step", result.per_step["mae"][0])
    metrics.log_metric("mae_last_step", result.per_step["mae"][-1])
    # kfp.local caches a task only if each of its outputs exists.
    Path(metrics.path).write_text("{}", encoding="utf-8")
