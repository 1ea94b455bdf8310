"""Serve: answer requests over HTTP with the ONNX model of an export folder. Neither TensorFlow nor Keras is needed."""
