"""Start the server, as the serving image does: python -m components.serve."""

import sys

from components.common.errors import InputError
from components.serve.server import serve
from components.serve.settings import Settings

if __name__ == "__main__":
    try:
        serve(Settings.from_environment())
    except InputError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(2) from None
