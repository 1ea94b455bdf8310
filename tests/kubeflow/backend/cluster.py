"""Kubernetes, Argo and Kubeflow Pipelines as processes, in network, mount and process namespaces that run.sh made.

Whatever pods ask for has one address: that of the service `kubernetes`, which is an address of this machine here. So
there is no kube-proxy and no DNS; pods have the few names in /etc/hosts.
"""

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes import client, config, utils
from settings import ADDRESS, BRIDGE, CONTAINERD, KUBELET, NAMESPACE, RESOURCES, TOKEN, definition, kubeconfig
from urllib3.exceptions import HTTPError

HERE = Path(__file__).parent
HOST, STORE = "http://127.0.0.1:8888", "http://127.0.0.1:9000"
NAMES = ["ml-pipeline.kubeflow.svc.cluster.local", "metadata-grpc-service.kubeflow.svc.cluster.local"]
NAMES += ["seaweedfs.kubeflow"]  # so Kubeflow calls its object store
IMAGE = "localhost/kubeflow/pod:latest"


class Cluster:
    """The processes and their files.

    Args:
        cache: Where run.sh put programs, and the pods' images.
        kubeflow: The folder of Kubeflow's own programs.
        state: An empty folder for what the processes write.
    """

    def __init__(self, cache: Path, kubeflow: Path, state: Path) -> None:
        self.cache, self.kubeflow, self.state = cache, kubeflow, state
        self.seconds: dict[str, float] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for folder in ("logs", "cni", "certificates"):
            (state / folder).mkdir(parents=True)
        self.kubeconfig = self._write("kubeconfig", json.dumps(kubeconfig()))

    def start(self) -> None:
        """Start everything, each once what it needs answers."""
        for arguments in (["link", "set", "lo", "up"], ["address", "add", f"{ADDRESS}/32", "dev", "lo"]):
            subprocess.run(["ip", *arguments], check=True)
        with self._timed("Kubernetes"):
            self._start_kubernetes()
        with self._timed("Kubeflow"):
            self._start_kubeflow()

    def _start_kubernetes(self) -> None:
        state, key = self.state, self.state / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key], check=True, capture_output=True)
        self._start("etcd", self.cache / "bin/etcd", "--data-dir", state / "etcd", "--unsafe-no-fsync")
        tokens = self._write("tokens", f"{TOKEN},administrator,1,system:masters\n")
        self._start(
            "kube-apiserver",
            *(self.cache / "bin/kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", f"--bind-address={ADDRESS}"),
            *("--secure-port=443", "--service-cluster-ip-range=10.96.0.0/24", "--endpoint-reconciler-type=none"),
            *(f"--cert-dir={state}/certificates", f"--token-auth-file={tokens}", "--authorization-mode=RBAC"),
            *("--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}"),
            *(f"--service-account-signing-key-file={key}", "--kubelet-preferred-address-types=InternalIP"),
        )
        _wait("a certificate", (state / "certificates/apiserver.crt").exists)
        config.load_kube_config(str(self.kubeconfig))
        self.pods = client.CoreV1Api()
        self.objects = client.CustomObjectsApi()
        _wait("kube-apiserver", lambda: client.VersionApi().get_code() and self.pods.list_namespace())
        for name in ("kube-controller-manager", "kube-scheduler"):
            # What a cluster of one node needs of the controllers: accounts, and what ends with its owner or its node.
            more = [f"--service-account-private-key-file={key}", f"--root-ca-file={state}/certificates/apiserver.crt"]
            # Nodes of tests have no kubelet that says that they are alive.
            more = [*more, "--node-monitor-grace-period=24h"] if name == "kube-controller-manager" else []
            program = self.cache / "bin" / name
            self._start(name, program, f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", *more)
        self._write("cni/pods.conflist", json.dumps(BRIDGE))
        toml = self._write("containerd.toml", CONTAINERD.format(pause=IMAGE, state=state))
        self._start("containerd", "containerd", "--config", toml, "--root", state / "containerd")
        _wait("containerd", lambda: self._ctr("version"))
        with self._timed("of it, unpacking the image"):
            archive = str(self.cache / "pod.tar")
            self._ctr("images", "import", "--digests", "--base-name", "kubeflow.invalid/pod", archive)
        names = self._ctr("images", "list", "--quiet").split()
        self.image = next(name for name in names if name.startswith("kubeflow.invalid/pod@"))
        # Nothing answers there. Without a line, each program of Kubeflow in a pod would wait 20 s for a name's options.
        names = self._write("resolv.conf", f"nameserver {ADDRESS}\noptions timeout:1 attempts:1\n")
        settings = {**KUBELET, "resolvConf": str(names), "podLogsDir": str(state / "pods")}
        settings |= {"containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock"}
        self._start(
            "kubelet",
            *(self.cache / "bin/kubelet", f"--kubeconfig={self.kubeconfig}", "--hostname-override=node"),
            *(f"--config={self._write('kubelet.json', json.dumps(settings))}", f"--root-dir={state}/kubelet"),
            *(f"--cert-dir={state}/certificates", f"--node-ip={ADDRESS}"),
        )
        _wait("a node that is ready", lambda: any(map(_ready, self.pods.list_node().items)))

    def _start_kubeflow(self) -> None:
        for group, version, kinds in RESOURCES:
            for kind in kinds.split():
                client.ApiextensionsV1Api().create_custom_resource_definition(definition(group, version, kind))
        utils.create_from_yaml(client.ApiClient(), str(HERE / "cluster.yaml"))
        database = self.state / "database"
        files = [f"--datadir={database}", f"--socket={database}.sock", f"--pid-file={database}.pid"]
        subprocess.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                "--user=root",
                f"--datadir={database}",
                "--auth-root-authentication-method=normal",
            ],
            **{"check": True, "stdout": subprocess.DEVNULL},
        )
        self._start("mariadbd", "mariadbd", "--no-defaults", "--user=root", *files)
        store = ["-backend", "bolt", "-bolt.db", self.state / "store", "-initialbucket", "mlpipeline"]
        self._start("gofakes3", self.cache / "bin/gofakes3", *store)
        self._start("metadata", self.cache / "metadata/bin/python", HERE / "metadata.py", "0.0.0.0:8080")
        self._start(
            "workflow-controller",
            *(self.kubeflow / "workflow-controller", "--kubeconfig", self.kubeconfig, "--namespaced"),
            *("--namespace", NAMESPACE, "--executor-image", self.image),
            LEADER_ELECTION_DISABLE="true",
        )
        (self.state / "settings").mkdir()
        self._write("settings/config.json", (HERE / "settings.json").read_text(encoding="utf-8"))
        self._start(
            "apiserver",
            *(self.kubeflow / "apiserver", "-config", self.state / "settings", "-logtostderr"),
            KUBECONFIG=str(self.kubeconfig),
            POD_NAMESPACE=NAMESPACE,
            ML_PIPELINE_VISUALIZATIONSERVER_SERVICE_HOST="127.0.0.1",  # there is none, but it has to be named
            ML_PIPELINE_VISUALIZATIONSERVER_SERVICE_PORT="1",
            V2_DRIVER_IMAGE=self.image,
            V2_LAUNCHER_IMAGE=self.image,
            COMPILED_PIPELINE_SPEC_PATCH=json.dumps({"hostAliases": [{"ip": ADDRESS, "hostnames": NAMES}]}),
            HOME=str(self.state),
        )
        _wait("Kubeflow's API server", lambda: get(f"{HOST}/apis/v2beta1/healthz"))
        token = Path("/run/secrets/kubeflow/tokens/persistenceagent-sa-token")  # in this mount namespace alone
        token.parent.mkdir(parents=True)
        token.write_text(TOKEN, encoding="utf-8")
        self._start(
            "persistence_agent",
            *(self.kubeflow / "persistence_agent", f"--kubeconfig={self.kubeconfig}", f"--namespace={NAMESPACE}"),
            *("--mlPipelineAPIServerName=127.0.0.1",),
            KUBECONFIG=str(self.kubeconfig),
        )

    def megabytes(self) -> dict[str, int]:
        """The most memory that each process has had, and all pods together."""
        found = {"pods": int(Path("/sys/fs/cgroup/memory/kubepods/memory.max_usage_in_bytes").read_text("utf-8")) >> 20}
        for name, process in self._processes.items():
            status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
            found[name] = int(status.partition("VmHWM:")[2].split()[0]) >> 10
        return found

    def tasks(self, run_id: str) -> set[str]:
        """The tasks of a run that had a pod of their own, beside that of their driver."""
        return {task for pod in self.run_pods(run_id) if (task := task_of(pod))}

    def run_pods(self, run_id: str, task: str | None = None) -> list[client.V1Pod]:
        """The pods of a run, or of a task, the oldest first."""
        pods = self.pods.list_namespaced_pod(NAMESPACE, label_selector=f"pipeline/runid={run_id}").items
        pods.sort(key=lambda pod: pod.metadata.creation_timestamp)
        return [pod for pod in pods if task in (None, task_of(pod))]

    def log(self, pod: client.V1Pod) -> str:
        """What a task has printed."""
        return self.pods.read_namespaced_pod_log(pod.metadata.name, NAMESPACE, container="main")

    def kill(self, pod: client.V1Pod) -> None:
        """Kill the first process of a task's container."""
        (status,) = [one for one in pod.status.container_statuses if one.name == "main"]
        self._ctr("tasks", "kill", "--signal", "SIGKILL", status.container_id.removeprefix("containerd://"))

    def workflow(self, run_id: str) -> dict[str, Any]:
        """The Argo Workflow that Kubeflow has made of a run."""
        of_run = {"label_selector": f"pipeline/runid={run_id}"}
        found = self.objects.list_namespaced_custom_object("argoproj.io", "v1alpha1", NAMESPACE, "workflows", **of_run)
        (workflow,) = found["items"]
        return workflow

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Stop a process for a while."""
        self._processes[name].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._processes[name].send_signal(signal.SIGCONT)

    def _ctr(self, *arguments: str) -> str:
        return subprocess.check_output(
            ["ctr", "--namespace", "k8s.io", *arguments], text=True, stderr=subprocess.STDOUT
        )

    def _write(self, name: str, text: str) -> Path:
        path = self.state / name
        path.write_text(text)
        return path

    def _start(self, name: str, *command: str | Path, **environment: str) -> None:
        with (self.state / "logs" / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - start


def get(address: str) -> bytes:
    """The content at an address."""
    with urllib.request.urlopen(address, timeout=30) as response:  # noqa: S310 (addresses of this cluster)
        return response.read()


def task_of(pod: client.V1Pod) -> str | None:
    """The task that a pod runs, by Argo's name for it, such as quick-x7k2p(0).root(0).train-mlp(0).executor(0)."""
    *_, task, last = re.sub(r"\(\d+\)", "", pod.metadata.annotations["workflows.argoproj.io/node-name"]).split(".")
    return task if last == "executor" else None


def _ready(node: client.V1Node) -> bool:
    conditions = {one.type: one.status for one in node.status.conditions or []}
    return conditions.get("Ready") == "True" and not node.spec.taints


def _wait(what: str, answers: Callable[[], object], seconds: float = 300) -> None:
    """Wait until something is there, for so long at most."""
    end = time.monotonic() + seconds
    while True:
        try:
            if answers():
                return
            problem: object = "not yet"
        except (OSError, HTTPError, client.ApiException, subprocess.CalledProcessError) as error:
            problem = error
        if time.monotonic() > end:
            raise TimeoutError(f"no {what} after {seconds:.0f} s: {problem}")
        time.sleep(0.5)
