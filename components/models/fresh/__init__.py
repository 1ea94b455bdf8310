"""Use an exported model in a fresh process that has its runtime and not this project."""
