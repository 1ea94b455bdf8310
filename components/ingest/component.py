"""The KFP signature of ingest."""

from kfp import dsl

from components.common.component import component


@component
def ingest(name: str, spec: str, fingerprint: str, code_version: str, dataset: dsl.Output[dsl.Dataset]) -> None:
    """Turn a source into a data set folder.

    Args:
        name: The data set's name.
        spec: JSON of its source and options.
        fingerprint: Of the source's data: another one is another task to the cache.
        code_version: Of the code: the same.
        dataset: The folder.
    """
    from components.ingest.ingest import ingest

    info = ingest(name, spec, dataset.path)
    dataset.metadata["sha256"] = info.sha256
    dataset.metadata["task"] = info.task
