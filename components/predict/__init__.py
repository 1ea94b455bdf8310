"""Predict new data with an exported model: a line for each example."""
