"""Train: build a model of a family, train it with checkpoints, and keep the weights of its best epoch."""
