"""Compare: rank the models of each data set beside its baselines, and pass or refuse each."""
