"""The step register. It adds the best model of each data set to the registry, where the model passed."""
