"""What an experiment says of its runs on Vertex AI, under the key `vertex`."""

from pydantic import Field

from components.spec import Strict

# The newest of Google's prebuilt images for TensorFlow that its documentation lists.
SERVING_IMAGE = "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"


class VertexOptions(Strict):
    """Options of runs on Vertex AI; project, region and bucket come from the command line or the environment.

    Attributes:
        service_account: That tasks and jobs run as; None for the project's default.
        network: Full name of a VPC network, projects/<number>/global/networks/<name>.
        tensorboard: Full resource name of a Vertex TensorBoard; it needs a service account.
        experiment: A Vertex experiment that runs are added to.
        register_models: Whether winners go to the Model Registry.
        deploy: Whether a registered winner is deployed to the data set's endpoint.
        traffic: Share of the endpoint's requests that it gets, in percent.
        serving_image: Image that serves models.
        serving_machine: Machine type that serves them.
        labels: Of everything that is made.
    """

    service_account: str | None = Field(default=None, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
    network: str | None = Field(default=None, pattern=r"^projects/[^/]+/global/networks/[^/]+$")
    tensorboard: str | None = Field(default=None, pattern=r"^projects/[^/]+/locations/[^/]+/tensorboards/\d+$")
    experiment: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9-]{0,127}$")
    register_models: bool = True
    deploy: bool = False
    traffic: int = Field(default=100, ge=1, le=100)
    serving_image: str = SERVING_IMAGE
    serving_machine: str = "n1-standard-2"
    labels: dict[str, str] = {}
