"""Ingested data as tf.data datasets, and readers of new data in new/."""
