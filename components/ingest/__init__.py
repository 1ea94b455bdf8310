"""The step ingest. It reads a source, and writes a data set's folder of TFRecord shards, statistics and checks."""
