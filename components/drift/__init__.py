"""Compare the distributions of new data with those of the training data."""
