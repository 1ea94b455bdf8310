"""The lines for errors of Google's API."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from components.common.errors import InputError

NO_CREDENTIALS = (
    "no credentials for Google Cloud: run `gcloud auth application-default login`, or let "
    "GOOGLE_APPLICATION_CREDENTIALS name a service account's key file"
)
_QUOTA = re.compile(r"aiplatform\.googleapis\.com/\w+")
_PERMISSION = re.compile(r"Permission '([\w.]+)' denied")


@contextmanager
def asking(action: str) -> Iterator[None]:
    """Turn an error of Google's API in the `with` block into its line.

    Args:
        action: As for `error_line`.

    Raises:
        InputError: The service refused a call, or couldn't be reached.
    """
    from google.api_core import exceptions

    try:
        yield
    except exceptions.GoogleAPICallError as error:
        raise InputError(error_line(error, action)) from None


def error_line(error: Exception, action: str) -> str:
    """The line for an error of Google's API: the action, the reason, and a remedy where there is one.

    Args:
        error: An exception of `google.api_core` or `google.auth`.
        action: The action that failed, such as "submitting job-1 to us-central1".
    """
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    message = " ".join(str(getattr(error, "message", "") or error).split())
    if isinstance(error, exceptions.Forbidden):
        permission = _PERMISSION.search(message)
        need = f"the permission {permission[1]}" if permission else "a permission"
        return f"{action}: {need} is missing; ask for a role that has it, such as roles/aiplatform.user ({message})"
    if isinstance(error, exceptions.TooManyRequests):
        quota = _QUOTA.search(message)
        name = f"the quota {quota[0]} is used up or 0" if quota else "a quota is used up"
        return f"{action}: {name}; choose another machine or region, or ask for more on the console's page Quotas"
    if isinstance(error, exceptions.NotFound):
        return f"{action}: not found: {message}"
    if isinstance(error, exceptions.Unauthenticated | GoogleAuthError):
        return f"{action}: the credentials are refused: {message}; run `gcloud auth application-default login`"
    if isinstance(error, exceptions.InvalidArgument | exceptions.FailedPrecondition):
        return f"{action}: refused: {message}"
    return f"{action}: {message}"
