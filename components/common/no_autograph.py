"""How TensorFlow traces the project's functions."""

import tensorflow as tf

# AutoGraph rewrites a function's source, so that Python's `if` and `for` over tensors become operations. The functions
# that are traced here have none, and rewriting them was a quarter of an evaluation's time.
no_autograph = tf.autograph.experimental.do_not_convert
