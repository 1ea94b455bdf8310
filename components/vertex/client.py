"""Google Cloud, as the steps and the command line reach it: clients, and errors for people."""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import Field

from components.common.errors import InputError
from components.common.image_names import SERVING_IMAGE
from components.common.spec import Strict

# gcloud's own variable for `api_endpoint_overrides/aiplatform`, such as https://localhost:8443/.
ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM"
CALL_SECONDS = 30.0
# So long a connection may be gone before the following of a job ends.
LOST_SECONDS = 900.0
_QUOTA = re.compile(r"aiplatform\.googleapis\.com/\w+")
_PERMISSION = re.compile(r"Permission '([\w.]+)' denied")


class VertexOptions(Strict):
    """What an experiment says of its runs on Vertex AI, under the key `vertex`.

    Attributes:
        service_account: That tasks, jobs and endpoints run as; None for the project's default.
        network: Full name of a VPC network that jobs are peered with, projects/<number>/global/networks/<name>.
        reserved_ip_ranges: Names of the network's reserved ranges that jobs may use; needs `network`.
        network_attachment: Name of a network attachment (Private Service Connect) that jobs reach a network by, instead
            of `network`.
        kms_key: Key of Cloud KMS, in the same region, that encrypts jobs, models and endpoints:
            projects/<project>/locations/<region>/keyRings/<ring>/cryptoKeys/<key>.
        tensorboard: Full resource name of a Vertex TensorBoard. Trainings then run in jobs of their own, which stream
            to it; it needs a service account.
        experiment: A Vertex experiment that runs are added to.
        register_models: Whether winners go to the Model Registry.
        deploy: Whether a registered winner is deployed to the data set's endpoint.
        traffic: Share of the endpoint's requests that it gets, in percent.
        serving_image: Image that serves models, see `components.serve`.
        serving_machine: Machine type that serves them.
        labels: Of everything that is made.
    """

    service_account: str | None = Field(default=None, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
    network: str | None = Field(default=None, pattern=r"^projects/[^/]+/global/networks/[^/]+$")
    reserved_ip_ranges: list[str] = []
    network_attachment: str | None = None
    kms_key: str | None = Field(
        default=None, pattern=r"^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$"
    )
    tensorboard: str | None = Field(default=None, pattern=r"^projects/[^/]+/locations/[^/]+/tensorboards/\d+$")
    experiment: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9-]{0,127}$")
    register_models: bool = True
    deploy: bool = False
    traffic: int = Field(default=100, ge=1, le=100)
    serving_image: str = SERVING_IMAGE
    serving_machine: str = "n1-standard-2"
    labels: dict[str, str] = {}


class Vertex(VertexOptions):
    """Where on Vertex AI a pipeline runs, as its tasks are told; a run elsewhere isn't told.

    Attributes:
        project: Its id.
        region: Such as us-central1.
    """

    project: str
    region: str

    def job_network(self) -> dict[str, Any]:
        """Fields of a PipelineJob or of a CustomJobSpec that say which network the job is in."""
        fields = {
            "network": self.network,
            "reserved_ip_ranges": self.reserved_ip_ranges,
            "psc_interface_config": self.network_attachment and {"network_attachment": self.network_attachment},
        }
        return {name: value for name, value in fields.items() if value}

    def encryption(self) -> dict[str, Any]:
        """The field `encryption_spec` of whatever is created, where there is a key."""
        return {"encryption_spec": {"kms_key_name": self.kms_key}} if self.kms_key else {}

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


def named(listing: Callable[..., Any], parent: str, name: str) -> list[Any]:
    """The resources under `parent` that have a display name.

    Args:
        listing: A list method of a client, such as `models.list_models`.
        parent: projects/…/locations/….
        name: The display name, whole.
    """
    request = {"parent": parent, "filter": f'display_name="{name}"'}
    return [found for found in listing(request=request, timeout=CALL_SECONDS) if found.display_name == name]


def polls(job: Any, get: Callable[..., Any], seconds: float, wait: Callable[[float], object]) -> Iterator[Any]:  # noqa: ANN401
    """A job as it is, and then again and again, whatever happens to the connection for a while.

    Args:
        job: As it was made.
        get: A get method of a client, such as `jobs.get_custom_job`.
        seconds: Between two questions.
        wait: Waits so long; what it raises ends the following.

    Raises:
        InputError: The connection is gone for long, or the job can't be seen any more.
    """
    from google.api_core import exceptions

    name, lost = job.name, 0.0
    yield job
    while True:
        wait(seconds)
        try:
            job, lost = get(name=name, timeout=CALL_SECONDS), 0.0
        except (exceptions.ServerError, exceptions.TooManyRequests, exceptions.RetryError) as error:
            lost += seconds
            if lost > LOST_SECONDS:
                raise InputError(f"{explain(error, f'asking for {name}')}; the job goes on") from None
            continue
        except exceptions.GoogleAPICallError as error:
            raise InputError(explain(error, f"asking for {name}")) from None
        yield job


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


@contextmanager
def until(number: signal.Signals) -> Iterator[threading.Event]:
    """Yield an event that a signal sets meanwhile: as an exception it could be lost in a call of gRPC's.

    Args:
        number: Such as SIGTERM, or SIGINT for Ctrl-C.
    """
    event = threading.Event()
    before = signal.signal(number, lambda number, frame: event.set())
    try:
        yield event
    finally:
        signal.signal(number, before)
