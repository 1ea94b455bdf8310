"""What the programs of the cluster are told in files, and the resources that they know."""

import os

ADDRESS, TOKEN = "10.96.0.1", "administrator"
NAMESPACE = "kubeflow"
BRIDGE = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            **{"type": "bridge", "bridge": "pods", "isGateway": True},
            "ipam": {"type": "host-local", "subnet": "10.244.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]},
        }
    ],
}
KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"},
    **{
        "oomScoreAdj": 0,
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
    },
    # A container that starts beside others that train has its time.
    **{"runtimeRequestTimeout": "15m", "maxPods": 6},
    # No training of a machine's table fits this node, however large it is.
    "systemReserved": {"cpu": str(max((os.cpu_count() or 0) - 2, 0))},
    "evictionHard": {"memory.available": "1%", "nodefs.available": "1%"},
}
CONTAINERD = """\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{state}/cni"
"""

# Argo's and Kubeflow's own resources.
RESOURCES = [
    ("argoproj.io", "v1alpha1", "Workflow WorkflowTemplate CronWorkflow WorkflowTaskSet WorkflowTaskResult"),
    ("argoproj.io", "v1alpha1", "WorkflowArtifactGCTask WorkflowEventBinding ClusterWorkflowTemplate"),
    ("kubeflow.org", "v1beta1", "ScheduledWorkflow"),
]


def kubeconfig() -> dict[str, object]:
    """How the programs reach the API server, as its administrator."""
    cluster = {"server": f"https://{ADDRESS}", "certificate-authority": "certificates/apiserver.crt"}
    context = {"cluster": "own", "user": "own", "namespace": NAMESPACE}
    named = {"clusters": cluster, "contexts": context, "users": {"token": TOKEN}}
    entries = {key: [{"name": "own", key.removesuffix("s"): value}] for key, value in named.items()}
    return {"apiVersion": "v1", "kind": "Config", "current-context": "own", **entries}


def definition(group: str, version: str, kind: str) -> dict[str, object]:
    """A resource whose objects may hold anything."""
    names = {"kind": kind, "plural": f"{kind.lower()}s", "singular": kind.lower(), "listKind": f"{kind}List"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [{"name": version, "served": True, "storage": True, "schema": schema}]
    scope = "Cluster" if kind.startswith("Cluster") else "Namespaced"
    spec = {"group": group, "scope": scope, "names": names, "versions": versions}
    return {"metadata": {"name": f"{names['plural']}.{group}"}, "spec": spec}
