"""Readers of new data, which a trained model predicts or is compared with."""
