"""A worker of a CustomJob, or a trial of a search: python -m components.train JSON, the arguments of `train`."""

import functools
import json
import sys

from components.train.train import train
from components.vertex.checkpoints import hold_checkpoints

if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    train(**arguments, hold=functools.partial(hold_checkpoints, output=arguments["folder"]))
