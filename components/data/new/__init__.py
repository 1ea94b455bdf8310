"""Readers of the data that a finished model is used on."""
