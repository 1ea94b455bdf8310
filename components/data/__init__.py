"""Ingested data as tf.data takes them: storage, batches, windows; and readers of new data."""
