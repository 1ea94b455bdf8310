"""Drift: whether new data are still like the training data."""
