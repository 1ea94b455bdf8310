"""Modules that every part of the program uses."""
