"""A decorator for functions that TensorFlow traces."""

import tensorflow as tf

# AutoGraph rewrites a function's source, so that Python's `if` and `for` over tensors become operations. The traced
# functions of this project have none, and rewriting them took a quarter of an evaluation's time.
no_autograph = tf.autograph.experimental.do_not_convert
