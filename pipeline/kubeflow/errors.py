"""What Kubeflow's errors say, in one line."""

import json
import re

from components.common.errors import InputError
from pipeline.kubeflow.client import TOKEN, token

# Of an error's text; pages of proxies are long.
_TEXT = 300


def say(error: Exception, run: str) -> str:
    """What went wrong with a run, after "Kubeflow at … "; a token that comes back isn't said."""
    said, secret = _said(error, run), token()
    return said.replace(secret, "***") if secret else said


def _said(error: Exception, run: str) -> str:
    from kfp_server_api.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    if isinstance(error, ApiException):
        hint = f"; {TOKEN} holds the token" if error.status in (401, 403) else ""
        return f"refuses {run}: {error.status} {_message(error.body) or error.reason}{hint}"
    if isinstance(error, (HTTPError, OSError)):
        return f"can't be reached: {_line(str(getattr(error, 'reason', None) or error))}"
    return str(error) if isinstance(error, InputError) else f"refuses {run}: {_line(str(error))}"


def _message(body: str | None) -> str:
    """What an error's body says: JSON of the API or of the upload, whose details are a stack trace; or a page."""
    try:
        said = json.loads(body or "")
    except ValueError:
        said = None
    if isinstance(said, dict):
        return _line(str(said.get("message") or said.get("error_message") or said.get("error") or said))
    return _line(re.sub(r"<[^>]*>", " ", body or ""))


def _line(text: str) -> str:
    text = " ".join(re.sub(r"^\w+\([^)]*\): ", "", text).split())
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}…"
