"""The step compare. It ranks the models of each data set beside its baselines, and passes or refuses each model."""
