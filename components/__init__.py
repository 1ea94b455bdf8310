"""The steps of the pipeline: one package per step, and beside them what several steps share."""
