"""The machines of a training, and where it keeps its checkpoints: a parameter of the steps that train."""

from components.common.spec import Strict

# These variables switch on PJRT, through which TensorFlow finds a TPU v5e when it is imported. The library is in the
# image: cloud.google.com/vertex-ai/docs/training/training-with-tpu-vm. Only the process that trains has them, for a
# second process that loads the library can crash.
TPU_ENVIRONMENT = {
    "PJRT_DEVICE": "TPU",
    "NEXT_PLUGGABLE_DEVICE_USE_C_API": "true",
    "TF_PLUGGABLE_DEVICE_LIBRARY_PATH": "/lib/libtpu.so",
}


class Pool(Strict):
    """A worker pool of a CustomJob, which has machines of one type.

    Attributes:
        machine: The fields of Vertex' MachineSpec: machine_type, accelerator_type, accelerator_count, tpu_topology.
        replicas: The number of machines.
        disk_gb: The size of the boot disk; None for Vertex' default of 100.
    """

    machine: dict[str, str | int]
    replicas: int
    disk_gb: int | None = None


class Placement(Strict):
    """The machines of a training, and where it keeps its checkpoints.

    Attributes:
        precision: Keras' dtype policy where the process has an accelerator.
        image: The image of a CustomJob's workers.
        pools: The worker pools of the CustomJob that the task launches; empty where the task trains itself.
        spot: Whether the job's machines are spot machines, which may be taken away.
        max_wait_seconds: The time that the job waits for its machines (flex-start). With None it is started at once or
            refused.
        timeout_seconds: The time after which the job is stopped.
    """

    precision: str = "float32"
    image: str = ""
    pools: list[Pool] = []
    spot: bool = False
    max_wait_seconds: int | None = None
    timeout_seconds: int | None = None
