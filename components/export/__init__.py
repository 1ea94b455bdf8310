"""Export: serving formats that take raw inputs, each proven equal to the model."""
