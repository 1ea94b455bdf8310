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

    The model comes from the same pipeline. So it is trusted, without a check of a registry's signature.

    Args:
        source: The file or folder: a path, or gs://bucket/….
        code_version: The digest of the step's code, so that KFP's cache runs changed code.
        model: The model's folder, from export or from the registry.
        predictions: The folder of `predictions.jsonl`, and of `predictions.errors.jsonl` where examples failed.
        every_window: Whether every window of a series is forecast from, not only its last one.
    """
    from contextlib import nullcontext
    from pathlib import Path

    from components.common.files import atomic_directory, on_mount
    from components.predict.predict import predict

    # On a disk, an interrupted task is continued. A mount of Cloud Storage can neither append nor rename.
    there = Path(predictions.path)
    with atomic_directory(there) if on_mount(there) else nullcontext(there) as folder:
        done = predict(model.path, source, f"{folder}/predictions.jsonl", every_window)
    predictions.metadata["predicted"] = done.predicted
    predictions.metadata["failed"] = done.failed
