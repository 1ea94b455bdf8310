"""The KFP signature of predict."""

from kfp import dsl

from components.common.component import component


@component
def predict(
    source: str,
    code_version: str,
    model: dsl.Input[dsl.Model],
    predictions: dsl.Output[dsl.Artifact],
    every_window: bool = False,
) -> None:
    """Predict all examples of a file or a folder with an exported model.

    The model is the pipeline's own, and is trusted: no registry is asked whether it wrote it.

    Args:
        source: The file or folder; a path, or gs://bucket/….
        code_version: Of the code: another one is another task to the cache.
        model: The model's folder, of export or of the registry.
        predictions: The folder of `predictions.jsonl`, and of `predictions.errors.jsonl` where examples failed.
        every_window: Forecast from every window of a series, not from its end alone.
    """
    from contextlib import nullcontext
    from pathlib import Path

    from components.common.files import atomic_directory, on_mount
    from components.predict.predict import predict

    # On a disk an interrupted task goes on; a mount of Cloud Storage can neither append nor rename.
    there = Path(predictions.path)
    with atomic_directory(there) if on_mount(there) else nullcontext(there) as folder:
        done = predict(model.path, source, f"{folder}/predictions.jsonl", every_window)
    predictions.metadata["predicted"] = done.predicted
    predictions.metadata["failed"] = done.failed
