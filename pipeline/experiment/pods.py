"""What the pods of a run on Kubeflow have beside their machine: a user, and a volume that outlives them."""

from typing import Any

from pydantic import Field

from components.common.spec import Strict
from components.register.kserve import CLAIMS

# The user of the images, see containers/Dockerfile.
USER = 1000


class KubeflowOptions(Strict):
    """What an experiment says of its runs on Kubeflow, under the key `kubeflow`.

    Attributes:
        claim: Name of a PersistentVolumeClaim in the namespace of the runs, that user 1000 can write to. It keeps
            checkpoints, and the registry where none is named; without it a checkpoint goes with its pod.
        registry: Address of a registry in Cloud Storage, gs://bucket/folder. Without it and without a claim, no model
            is registered.
    """

    claim: str | None = Field(default=None, pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    registry: str | None = Field(default=None, pattern=r"^gs://[a-z0-9][-a-z0-9._]{1,61}[a-z0-9](/[^/\s]+)*/?$")

    @property
    def checkpoints(self) -> str:
        """The folder of checkpoints in the volume; "" where there is none."""
        return f"{CLAIMS / self.claim}/checkpoints" if self.claim else ""

    @property
    def registers_in(self) -> str:
        """The registry's address, or its folder in the volume; "" where there is none."""
        return self.registry or (f"{CLAIMS / self.claim}/registry" if self.claim else "")


def settle_pod(task: Any, keeps: bool, claim: str | None) -> None:  # noqa: ANN401 (a PipelineTask)
    """Give a task's pod its user and, where there is one, the volume.

    Kubeflow's compiler adds the rest of Kubernetes' restricted profile: no privilege escalation, no capabilities, the
    seccomp profile RuntimeDefault (backend/src/v2/compiler/argocompiler/security_context.go of Kubeflow Pipelines).

    Args:
        task: The task.
        keeps: Whether it keeps something that has to outlive its pod.
        claim: Name of the PersistentVolumeClaim; None for none.
    """
    from kfp import kubernetes

    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    if claim and keeps:
        kubernetes.mount_pvc(task, claim, str(CLAIMS / claim))
