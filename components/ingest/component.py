"""The KFP signature of ingest."""

from kfp import dsl

from components.common.component import component


@component
def ingest(name: str, spec: str, fingerprint: str, code_version: str, dataset: dsl.Output[dsl.Dataset]) -> None:
    """Turn a source into a data set folder.

    Args:
        name: The data set's name.
        spec: The source and its options as JSON.
        fingerprint: The fingerprint of the source's data, so that KFP's cache runs changed data.
        code_version: The digest of the step's code, so that KFP's cache runs changed code.
        dataset: The data set's folder.
    """
    from components.ingest.ingest import ingest

    info = ingest(name, spec, dataset.path)
    dataset.metadata["sha256"] = info.sha256
    dataset.metadata["task"] = info.task
