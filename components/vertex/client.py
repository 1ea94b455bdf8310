"""The clients of Google Cloud that the steps and the command line use."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from pydantic import Field

from components.common.errors import InputError
from components.common.image_names import SERVING_IMAGE
from components.common.spec import Strict
from components.vertex.errors import NO_CREDENTIALS, error_line

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from google.cloud import storage


class _Named(Protocol):
    name: str
    display_name: str


Client = TypeVar("Client")
Resource = TypeVar("Resource", bound=_Named)
# gcloud's variable for the property `api_endpoint_overrides/aiplatform`, such as https://localhost:8443/.
ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM"
CALL_SECONDS = 30.0
# A job is no longer followed once the connection has been lost for this time.
LOST_SECONDS = 900.0


class VertexOptions(Strict):
    """The options of an experiment's runs on Vertex AI, under the key `vertex`.

    Attributes:
        service_account: The account that tasks, jobs and endpoints run as; None for the project's default.
        network: The full name of a VPC network that jobs are peered with, projects/<number>/global/networks/<name>.
        reserved_ip_ranges: The names of the network's reserved ranges that jobs may use; needs `network`.
        network_attachment: The name of a network attachment (Private Service Connect) through which jobs reach a
            network, instead of `network`.
        kms_key: The key of Cloud KMS, in the same region, that encrypts jobs, models and endpoints:
            projects/<project>/locations/<region>/keyRings/<ring>/cryptoKeys/<key>.
        tensorboard: The full resource name of a Vertex TensorBoard. Each training then runs in a job of its own, which
            streams to it; needs `service_account`.
        experiment: The Vertex experiment that runs are added to.
        register_models: Whether winners are registered in the Model Registry.
        deploy: Whether a registered winner is deployed to the data set's endpoint.
        traffic: The share of the endpoint's requests that the winner gets, in percent.
        serving_image: The image that serves models, see `components.serve`.
        serving_machine: The machine type that serves models.
        labels: The labels of all jobs, models and endpoints.
    """

    service_account: str | None = Field(
        default=None, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", examples=["runner@my-project.iam.gserviceaccount.com"]
    )
    network: str | None = Field(
        default=None,
        pattern=r"^projects/[^/]+/global/networks/[^/]+$",
        examples=["projects/1234567890/global/networks/my-network"],
    )
    reserved_ip_ranges: list[str] = []
    network_attachment: str | None = None
    kms_key: str | None = Field(
        default=None,
        pattern=r"^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$",
        examples=["projects/my-project/locations/us-central1/keyRings/my-ring/cryptoKeys/my-key"],
    )
    tensorboard: str | None = Field(
        default=None,
        pattern=r"^projects/[^/]+/locations/[^/]+/tensorboards/\d+$",
        examples=["projects/my-project/locations/us-central1/tensorboards/1234567890"],
    )
    experiment: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9-]{0,127}$", examples=["fashion"])
    register_models: bool = True
    deploy: bool = False
    traffic: int = Field(default=100, ge=1, le=100)
    serving_image: str = SERVING_IMAGE
    serving_machine: str = "n1-standard-2"
    labels: dict[str, str] = {}


class Vertex(VertexOptions):
    """The place on Vertex AI where a pipeline runs, a parameter of its tasks. Elsewhere the parameter is empty.

    Attributes:
        project: The project's id.
        region: The region, such as us-central1.
    """

    project: str
    region: str

    def job_network(self) -> dict[str, object]:
        """The fields of a PipelineJob or a CustomJobSpec for the job's network."""
        fields = {
            "network": self.network,
            "reserved_ip_ranges": self.reserved_ip_ranges,
            "psc_interface_config": self.network_attachment and {"network_attachment": self.network_attachment},
        }
        return {name: value for name, value in fields.items() if value}

    def encryption(self) -> dict[str, dict[str, str]]:
        """The field `encryption_spec` of a new resource; empty where there is no key."""
        return {"encryption_spec": {"kms_key_name": self.kms_key}} if self.kms_key else {}

    @property
    def parent(self) -> str:
        """The name of the location, which is the parent of all resources."""
        return f"projects/{self.project}/locations/{self.region}"


def client(cls: Callable[..., Client], region: str) -> Client:
    """Create a client of a service of Vertex AI in a region.

    Args:
        cls: One of the client classes of `google.cloud.aiplatform_v1`.
        region: The region.

    Raises:
        InputError: There are no credentials.
    """
    from google.auth.exceptions import DefaultCredentialsError

    target = os.environ.get(ENDPOINT, "").removeprefix("https://").rstrip("/")
    try:
        return cls(client_options={"api_endpoint": target or f"{region}-aiplatform.googleapis.com"})
    except DefaultCredentialsError:
        raise InputError(NO_CREDENTIALS) from None


def list_by_name(listing: Callable[..., Iterable[Resource]], parent: str, name: str) -> list[Resource]:
    """The resources that have a display name.

    Args:
        listing: A list method of a client, such as `models.list_models`.
        parent: The location, projects/…/locations/….
        name: The display name.
    """
    request = {"parent": parent, "filter": f'display_name="{name}"'}
    return [resource for resource in listing(request=request, timeout=CALL_SECONDS) if resource.display_name == name]


def poll(
    job: Resource, get: Callable[..., Resource], seconds: float, wait: Callable[[float], object]
) -> Iterator[Resource]:
    """Yield a job, and then its newest state again and again. A short loss of the connection is ignored.

    Args:
        job: The job.
        get: A get method of a client, such as `jobs.get_custom_job`.
        seconds: The time between two calls of `get`.
        wait: A function that waits for a number of seconds. An exception that it raises ends the iteration.

    Raises:
        InputError: The connection has been lost for too long, or the job can't be read any more.
    """
    from google.api_core import exceptions

    name, lost_seconds = job.name, 0.0
    yield job
    while True:
        wait(seconds)
        try:
            job, lost_seconds = get(name=name, timeout=CALL_SECONDS), 0.0
        except (exceptions.ServerError, exceptions.TooManyRequests, exceptions.RetryError) as error:
            lost_seconds += seconds
            if lost_seconds > LOST_SECONDS:
                raise InputError(f"{error_line(error, f'asking for {name}')}; the job goes on") from None
            continue
        except exceptions.GoogleAPICallError as error:
            raise InputError(error_line(error, f"asking for {name}")) from None
        yield job


def credentials() -> "Credentials":
    """The application default credentials.

    Raises:
        InputError: There are none.
    """
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        return google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])[0]
    except DefaultCredentialsError:
        raise InputError(NO_CREDENTIALS) from None


def storage_client() -> "storage.Client":
    """A client of Cloud Storage. Objects that exist need no project.

    Raises:
        InputError: There are no credentials.
    """
    from google.cloud import storage

    return storage.Client(project="none", credentials=credentials())


@contextmanager
def signal_event(number: signal.Signals) -> Iterator[threading.Event]:
    """Yield an event that a signal sets meanwhile. An exception of a signal handler could get lost inside gRPC.

    Args:
        number: The signal, such as SIGTERM, or SIGINT for Ctrl-C.
    """
    event = threading.Event()
    handler = signal.signal(number, lambda number, frame: event.set())
    try:
        yield event
    finally:
        signal.signal(number, handler)
