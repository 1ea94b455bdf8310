"""Readers of the files that users have: series in CSV, pictures in folders."""
