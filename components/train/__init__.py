"""Train: build a model of a family, fit it with checkpoints, and keep the weights of its best epoch."""
