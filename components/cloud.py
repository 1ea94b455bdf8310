"""Google Cloud, as the steps and the command line reach it: clients, and errors for people."""

import os
import re
from typing import Any

from components.errors import InputError
from components.spec import Strict

# gcloud's own variable for `api_endpoint_overrides/aiplatform`, such as https://localhost:8443/.
ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM"
CALL_SECONDS = 30.0
_QUOTA = re.compile(r"aiplatform\.googleapis\.com/\w+")
_PERMISSION = re.compile(r"Permission '([\w.]+)' denied")


class Vertex(Strict):
    """Where on Vertex AI a pipeline runs, as its tasks are told; a run elsewhere isn't told.

    Attributes:
        project: Its id.
        region: Such as us-central1.
        service_account: That jobs and endpoints run as; None for the project's default.
        network: Full name of a VPC network to peer with.
        tensorboard: Full resource name of a Vertex TensorBoard that jobs stream to; it needs a service account.
        register_models: Whether winners go to the Model Registry.
        deploy: Whether a registered winner is deployed to an endpoint.
        traffic: Share of the endpoint's requests that it gets, in percent.
        serving_image: Image that serves it.
        serving_machine: Machine type that serves it.
        labels: Of everything that is made.
    """

    project: str
    region: str
    service_account: str | None = None
    network: str | None = None
    tensorboard: str | None = None
    register_models: bool = True
    deploy: bool = False
    traffic: int = 100
    serving_image: str
    serving_machine: str
    labels: dict[str, str] = {}

    @property
    def parent(self) -> str:
        """The resource that everything lies under."""
        return f"projects/{self.project}/locations/{self.region}"


def client(cls: Any, region: str) -> Any:  # noqa: ANN401 (any of the generated clients of aiplatform_v1)
    """A client of a service of Vertex AI in a region.

    Raises:
        InputError: There are no credentials.
    """
    from google.auth.exceptions import DefaultCredentialsError

    target = os.environ.get(ENDPOINT, "").removeprefix("https://").rstrip("/")
    try:
        return cls(client_options={"api_endpoint": target or f"{region}-aiplatform.googleapis.com"})
    except DefaultCredentialsError:
        raise InputError(NO_CREDENTIALS) from None


def credentials() -> Any:  # noqa: ANN401 (google.auth credentials)
    """The credentials that Google's tools would use.

    Raises:
        InputError: There are none.
    """
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        return google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])[0]
    except DefaultCredentialsError:
        raise InputError(NO_CREDENTIALS) from None


NO_CREDENTIALS = (
    "no credentials for Google Cloud: run `gcloud auth application-default login`, or let "
    "GOOGLE_APPLICATION_CREDENTIALS name a service account's key file"
)


def explain(error: Exception, what: str) -> str:
    """One line for an error of Google's API: what was tried, what came, and what to do.

    Args:
        error: A `google.api_core` or `google.auth` exception.
        what: What was tried, such as "submitting job-1 to us-central1".
    """
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    message = " ".join(str(getattr(error, "message", "") or error).split())
    if isinstance(error, exceptions.Forbidden):
        permission = _PERMISSION.search(message)
        need = f"the permission {permission[1]}" if permission else "a permission"
        return f"{what}: {need} is missing; ask for a role that has it, such as roles/aiplatform.user ({message})"
    if isinstance(error, exceptions.TooManyRequests):
        quota = _QUOTA.search(message)
        name = f"the quota {quota[0]} is used up or 0" if quota else "a quota is used up"
        return f"{what}: {name}; choose another machine or region, or ask for more on the console's page Quotas"
    if isinstance(error, exceptions.NotFound):
        return f"{what}: not found: {message}"
    if isinstance(error, exceptions.Unauthenticated | GoogleAuthError):
        return f"{what}: the credentials are refused: {message}; run `gcloud auth application-default login`"
    if isinstance(error, exceptions.InvalidArgument | exceptions.FailedPrecondition):
        return f"{what}: refused: {message}"
    return f"{what}: {message}"
