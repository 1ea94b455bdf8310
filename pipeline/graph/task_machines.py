"""The machine, the user and the volume that a task of the compiled pipeline asks for."""

from kfp import dsl

from components.common.image_names import USER
from components.register.kserve import CLAIMS
from components.vertex.placement import TPU_ENVIRONMENT, Placement, Pool
from pipeline.experiment.machines import DEFAULT_TYPE, Machine, Target, machines
from pipeline.experiment.offers import offered

# GKE's label for a node's accelerator: cloud.google.com/kubernetes-engine/docs/how-to/gpus
_GKE_NAMES = {"NVIDIA_A100_80GB": "nvidia-a100-80gb", "NVIDIA_L4": "nvidia-l4", "NVIDIA_H100_80GB": "nvidia-h100-80gb"}


def placement(name: str | None, target: Target, job: bool = False) -> Placement:
    """The placement of a training: its precision, and the CustomJob to launch where the machine needs one.

    With `job`, it is launched on any machine, for only a job can stream to a Vertex TensorBoard.
    """
    machine = machines()[name] if name else Machine(machine_type=DEFAULT_TYPE)
    if target == "kubeflow" or not (machine.needs_job or job):
        return Placement(precision=machine.precision)
    spec: dict[str, str | int] = {"machine_type": machine.machine_type}
    if machine.accelerator:
        spec |= {"accelerator_type": machine.accelerator, "accelerator_count": machine.count}
    if machine.tpu_topology:
        spec |= {"tpu_topology": machine.tpu_topology}
    pool = Pool(machine=spec, replicas=1, disk_gb=machine.disk_gb)
    pools = [pool] + ([pool.model_copy(update={"replicas": machine.workers - 1})] if machine.workers > 1 else [])
    return Placement(
        precision=machine.precision,
        image=machine.training_image,
        pools=pools,
        spot=machine.spot,
        max_wait_seconds=_seconds(machine.max_wait_hours),
        timeout_seconds=_seconds(machine.timeout_hours),
    )


def _seconds(hours: float | None) -> int | None:
    return None if hours is None else round(hours * 3600)


def request_machine(task: dsl.PipelineTask, name: str | None, target: Target, launches: bool = False) -> None:
    """Set the machine of a task; of one that only launches a job on it, the retries alone."""
    if name is None:
        return
    machine = machines()[name]
    if machine.retries:
        # On Kubeflow, Argo ends each retry so long after the first try's start; KFP's own hour is less than a training.
        task.set_retry(machine.retries, backoff_max_duration="52w" if target == "kubeflow" else None)
    if launches:
        return
    if target == "vertex":
        # A task has no field for the machine type. Vertex chooses it by these limits. KFP takes only whole numbers of a
        # unit.
        offer = offered()[machine.machine_type]
        task.set_cpu_limit(str(offer.cpus)).set_memory_limit(f"{round(offer.memory_gb * 1000)}M")
        if machine.accelerator:
            task.set_accelerator_type(machine.accelerator).set_accelerator_limit(machine.count)
        return
    _request_node(task, machine)


def _request_node(task: dsl.PipelineTask, machine: Machine) -> None:
    """Set the resources, the node selector and the tolerations of a task on Kubernetes."""
    from kfp import kubernetes

    selector = dict(machine.node_selector)
    if machine.accelerator:
        task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(machine.count)
        name = _GKE_NAMES.get(machine.accelerator, machine.accelerator.lower().replace("_", "-"))
        selector = selector or {"cloud.google.com/gke-accelerator": name}
    elif machine.tpu_topology:
        task.set_accelerator_type("google.com/tpu").set_accelerator_limit(machine.replicas)
        for name, value in TPU_ENVIRONMENT.items():
            task.set_env_variable(name, value)
        selector = selector or {
            "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
            "cloud.google.com/gke-tpu-topology": machine.tpu_topology,
        }
    else:
        # No node has room for a pod that asks for all of its cores, for the cluster itself uses a part of each.
        offer = offered()[machine.machine_type]
        task.set_cpu_request(str(round(offer.cpus * 0.8, 1))).set_memory_request(f"{round(offer.memory_gb * 800)}M")
    if resource := task.container_spec.resources and task.container_spec.resources.accelerator_type:
        # This taint commonly keeps other pods away from nodes with GPUs.
        kubernetes.add_toleration(task, resource, "Exists", effect="NoSchedule")
    if machine.spot:
        selector = {**selector, "cloud.google.com/gke-spot": "true"}
        kubernetes.add_toleration(task, "cloud.google.com/gke-spot", "Equal", "true", "NoSchedule")
    for key, value in selector.items():
        kubernetes.add_node_selector(task, key, value)
    if machine.timeout_hours:
        kubernetes.set_timeout(task, round(machine.timeout_hours * 3600))


def request_pod(task: dsl.PipelineTask, mounts: bool, claim: str | None) -> None:
    """Set the user of a task's pod, and mount the claim's volume where the task uses it.

    Kubeflow's compiler adds the rest of Kubernetes' restricted profile: no privilege escalation, no capabilities, the
    seccomp profile RuntimeDefault (backend/src/v2/compiler/argocompiler/security_context.go of Kubeflow Pipelines).
    """
    from kfp import kubernetes

    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    if claim and mounts:
        kubernetes.mount_pvc(task, claim, str(CLAIMS / claim))
