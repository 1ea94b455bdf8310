"""Predict: what a model says of new data, a line for each example."""
