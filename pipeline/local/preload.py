"""What the fork server imports first. The libraries that it imports next are in `pipeline.local.processes`."""

import gc
import os
import signal

from components.common.forked import signal_at_parents_end

# The garbage collector would look through half a million imported objects again and again.
gc.disable()
# Its processes keep it alive, and those that are stopped would stay.
signal_at_parents_end(signal.SIGKILL)
# TensorFlow's messages would be between the lines of the run.
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
