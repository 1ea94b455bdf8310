"""A worker of a CustomJob: python -m components.train JSON, the arguments of `train`."""

import json
import sys

from components.train.train import train

if __name__ == "__main__":
    train(**json.loads(sys.argv[1]))
