"""The step export. It writes serving formats that take raw inputs, and compares each with the model."""
