"""The lines for errors of Kubeflow."""

import json
import re

from kfp_server_api import ApiException
from urllib3.exceptions import HTTPError

from components.common.errors import InputError
from pipeline.kubeflow.client import TOKEN, token

# The longest text of an error. A proxy may answer with a long page.
_MAX_TEXT = 300


def error_line(error: Exception, run: str) -> str:
    """The line for an error of a run, which follows "Kubeflow at …". It never contains the token."""
    line, secret = _error_line(error, run), token()
    return line.replace(secret, "***") if secret else line


def _error_line(error: Exception, run: str) -> str:
    if isinstance(error, ApiException):
        # Version 2.17.0 doesn't say why it refuses an upload with 409.
        hint = f"; {TOKEN} holds the token" if error.status in (401, 403) else ""
        hint = "; the name is taken" if error.status == 409 else hint
        return f"refuses {run}: {error.status} {_message(error.body) or error.reason}{hint}"
    if isinstance(error, (HTTPError, OSError)):
        return f"can't be reached: {_line(str(getattr(error, 'reason', None) or error))}"
    return str(error) if isinstance(error, InputError) else f"refuses {run}: {_line(str(error))}"


def _message(body: str | None) -> str:
    """The message in the body of an error, which is JSON of the API or of the upload, or a page."""
    try:
        content = json.loads(body or "")
    except ValueError:
        content = None
    if isinstance(content, dict):
        message = content.get("message") or content.get("error_message") or content.get("error") or content
        return _line(str(message).partition("\ngithub.com/")[0])  # a stack trace
    return _line(re.sub(r"<[^>]*>", " ", body or ""))


def _line(text: str) -> str:
    text = " ".join(re.sub(r"^\w+\([^)]*\): ", "", text).split())
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
