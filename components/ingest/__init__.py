"""Ingest: turn a source into a data set folder of TFRecord shards, statistics and checks."""
