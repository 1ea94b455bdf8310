"""Metrics, their intervals, and the names of the baselines."""
