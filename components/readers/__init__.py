"""Readers of users' files: series in CSV, pictures in folders."""
