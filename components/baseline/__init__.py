"""Baseline: what a model has to beat, measured on the same test examples."""
