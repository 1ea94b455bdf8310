"""Kubeflow Pipelines: submit what was compiled for it."""
