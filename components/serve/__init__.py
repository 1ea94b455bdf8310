"""Serve: answer requests over HTTP with the ONNX model of an export folder. Neither TensorFlow nor Keras is needed."""

import os

# Else ONNX Runtime tells Microsoft of its use; it reads this when it is imported: its Privacy.md.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
