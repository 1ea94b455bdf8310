"""Evaluate: measure a trained model on the test split, which nothing before it has read."""
