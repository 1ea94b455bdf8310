"""The one exception for input that a person has to correct."""


class InputError(Exception):
    """Bad input: a one-line message that names the file, the key or the row, what came and what was expected.

    Commands print the message without a traceback and exit with code 2.
    """
