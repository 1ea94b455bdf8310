"""The architectures that a model is built from: one file a family."""
