"""Answer requests over HTTP with the ONNX model of an export folder. Neither TensorFlow nor Keras is needed."""

import os

# ONNX Runtime reads this variable when it is imported. Without it, it sends usage data to Microsoft (its Privacy.md).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
