"""The options of an experiment's runs on Kubeflow."""

from pydantic import Field

from components.common.spec import Strict
from components.register.kserve import CLAIMS


class KubeflowOptions(Strict):
    """The options of an experiment's runs on Kubeflow, under the key `kubeflow`.

    Attributes:
        claim: The name of a PersistentVolumeClaim in the namespace of the runs, which user 1000 can write to. Its
            volume holds checkpoints, and the registry where none is named. Without it, checkpoints are lost with their
            pod.
        registry: The address of a registry in Cloud Storage, gs://bucket/folder. Without it and without a claim, no
            model is registered.
    """

    claim: str | None = Field(
        default=None, pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", examples=["keras-pipeline"]
    )
    registry: str | None = Field(
        default=None,
        pattern=r"^gs://[a-z0-9][-a-z0-9._]{1,61}[a-z0-9](/[^/\s]+)*/?$",
        examples=["gs://bucket/models"],
    )

    @property
    def checkpoints(self) -> str:
        """The folder of checkpoints in the volume; "" where there is none."""
        return f"{CLAIMS / self.claim}/checkpoints" if self.claim else ""

    @property
    def registry_folder(self) -> str:
        """The registry's address, or its folder in the volume; "" where there is none."""
        return self.registry or (f"{CLAIMS / self.claim}/registry" if self.claim else "")
