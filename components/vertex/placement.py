"""Where a training runs, as the steps that train are told of it."""

from components.common.spec import Strict

# TensorFlow finds a TPU v5e through PJRT, which these switch on when it is imported; the library is the image's:
# cloud.google.com/vertex-ai/docs/training/training-with-tpu-vm. They are of the process that trains alone: one library
# serves one process, and a second one that loads it can crash.
TPU_ENVIRONMENT = {
    "PJRT_DEVICE": "TPU",
    "NEXT_PLUGGABLE_DEVICE_USE_C_API": "true",
    "TF_PLUGGABLE_DEVICE_LIBRARY_PATH": "/lib/libtpu.so",
}


class Pool(Strict):
    """Workers of one kind of a CustomJob.

    Attributes:
        machine: Vertex' MachineSpec: machine_type, accelerator_type, accelerator_count, tpu_topology.
        replicas: How many of them.
        disk_gb: Size of the boot disk; None for Vertex' default of 100.
    """

    machine: dict[str, str | int]
    replicas: int
    disk_gb: int | None = None


class Placement(Strict):
    """Where a training runs.

    Attributes:
        precision: Keras' dtype policy, where an accelerator is found.
        image: Of the workers of a CustomJob.
        pools: Of the CustomJob that the task launches where it finds itself on Vertex; empty where it trains itself.
        spot: Whether the job's machines may be taken away.
        max_wait_seconds: The job waits so long for its machines (flex-start); None starts it at once, or refuses it.
        timeout_seconds: The job is stopped after so long.
    """

    precision: str = "float32"
    image: str = ""
    pools: list[Pool] = []
    spot: bool = False
    max_wait_seconds: int | None = None
    timeout_seconds: int | None = None
