"""The containers of a local run's tasks."""

import base64
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.common.errors import InputError
from components.common.files import MOUNT
from components.vertex.cloud_storage import COPIES, GS
from pipeline.experiment.experiment import Experiment
from pipeline.graph.code_version import all_files, code_digest
from pipeline.local.processes import ROOT, lines

if TYPE_CHECKING:
    import docker

# Every container of a run has this label. Its value is the experiment's folder, whose lock the run holds.
LABEL = "keras-pipeline.run"
# The user that the images have, for a host whose user is root.
USER = 1000
# A training that is asked to end writes a checkpoint first.
STOP_SECONDS = 10
# The most files and processes of a container. podman 4.3 lowers its own limit of processes to this.
MOST = 32768
# A program that prints the path and the bytes of each file of an image's components/, as JSON.
_CODE = """
import base64, json
from pathlib import Path
import components
root = Path(components.__file__).parent
files = [path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
print(json.dumps({path.relative_to(root).as_posix(): base64.b64encode(path.read_bytes()).decode() for path in files}))
"""


def arguments(experiment: Experiment, home: Path, outputs: Path, registry: Path) -> dict[str, Any]:
    """The arguments that start a container of the run, by their names in docker-py's `containers.run`.

    A task can read the data, and write the tasks' outputs and the registry. It sees nothing else of this machine. It
    runs as the user who started the run, or as the image's user where that is root.

    Args:
        experiment: The experiment. Its data are mounted read-only, under the path that they have here.
        home: The experiment's folder.
        outputs: The folder that the tasks write to. `Containers` mounts it.
        registry: The folder that models are registered in.

    Raises:
        InputError: A folder's name has a quotation mark.
    """
    import docker

    data = mounts(experiment)
    for path in (outputs, registry, *(source for source, _ in data)):
        if '"' in str(path):
            # podman writes mounts as lines of CSV, and reads them with Go's parser.
            raise InputError(f"{path}: a folder with a \" in its name can't be mounted in a container")

    for folder in (outputs, registry):
        folder.mkdir(parents=True, exist_ok=True)
    uid, gid = os.getuid(), os.getgid()
    if "name=rootless" in docker.from_env().info().get("SecurityOptions", []):
        uid, gid = 0, 0  # inside a rootless container, root is this machine's user
    elif uid == 0:
        uid, gid = USER, USER
        for folder in (outputs, registry):
            for path in (folder, *folder.rglob("*")):
                os.chown(path, uid, gid, follow_symlinks=False)
    return {
        "user": f"{uid}:{gid}",
        "labels": {LABEL: str(home)},
        "working_dir": str(Path.cwd()),
        "environment": {
            "HOME": "/tmp",  # noqa: S108 (the container's own)
            "TFDS_DATA_DIR": os.environ["TFDS_DATA_DIR"],
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TPU_SKIP_MDS_QUERY": "1",  # its library would ask Google's servers for minutes which TPU this is
        },
        "mounts": [
            docker.types.Mount(str(registry), str(registry), type="bind"),
            *(docker.types.Mount(str(target), str(path), type="bind", read_only=True) for path, target in data),
        ],
        "read_only": True,
        "tmpfs": {"/tmp": ""},  # noqa: S108
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        # A user's own source may read from the network, through a proxy on this machine.
        "network_mode": "host",
        "ulimits": limits(),
    }


def limits() -> "list[docker.types.Ulimit]":
    """The limits of a container's files and processes, at most those of this process.

    The kernel refuses podman's own defaults where podman itself runs in a container without CAP_SYS_RESOURCE.
    """
    import docker

    ulimits = []
    for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        hard = resource.getrlimit(number)[1]
        most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
        ulimits.append(docker.types.Ulimit(name=name, soft=most, hard=most))
    return ulimits


def mounts(experiment: Experiment) -> list[tuple[Path, Path]]:
    """Each folder or file that an option of a data set names: its path here, and its path in the container."""
    pairs = [(Path(os.environ["TFDS_DATA_DIR"]).absolute(),) * 2]
    options = [value for config in experiment.datasets.values() for value in config.options.model_dump().values()]
    for path in options:
        if not isinstance(path, str) or not path:
            continue
        if path.startswith(GS):
            bucket = path.removeprefix(GS).partition("/")[0]
            pairs.append(((COPIES / bucket).absolute(), MOUNT / bucket))
        else:
            # The target of a mount may not have "..".
            pairs.append((Path(os.path.normpath(Path(path).absolute())),) * 2)
    return sorted({pair for pair in pairs if pair[0].exists()})


def check_images(images: list[str], started: dict[str, Any]) -> None:
    """Refuse an image that isn't here and can't be pulled, doesn't start, or holds other code than this folder.

    Args:
        images: The names of the images.
        started: The `arguments` of a container.

    Raises:
        InputError: An image is refused. Only the first such image is named.
    """
    import docker

    client, here = docker.from_env(), all_files()
    for image in images:
        try:
            _pull(client, image)
            printed = output(client, image, ["python3", "-c", _CODE], **started)
        except docker.errors.ContainerError as error:
            raise InputError(f"image {image}: can't run this folder's code: {_line(error)}; make images") from None
        except docker.errors.DockerException as error:
            raise InputError(f"image {image}: {_line(error)}") from None
        held = {name: code_digest(name, base64.b64decode(content)) for name, content in json.loads(printed).items()}
        if differing := sorted({name for name, _ in held.items() ^ here.items()}):
            more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
            raise InputError(
                f"image {image}: holds other code than this folder: components/{differing[0]}{more}; make images"
            )


def _pull(client: "docker.DockerClient", image: str) -> None:
    """Pull an image that isn't here."""
    import docker

    try:
        client.images.get(image)
    except docker.errors.ImageNotFound:
        if "/" not in image:
            raise InputError(f"image {image}: there is none here; make images") from None
        client.images.pull(image)


def _line(error: Exception) -> str:
    """The last line of an error's message."""
    text = getattr(error, "stderr", None) or getattr(error, "explanation", None) or str(error)
    text = text.decode() if isinstance(text, bytes) else text
    return " ".join(text.strip().splitlines()[-1:])


class Containers:
    """Runs tasks, each in a container of its image.

    Args:
        home: The experiment's folder.
        outputs: The folder that the tasks write to.
        started: The `arguments` of a container.
    """

    def __init__(self, home: Path, outputs: Path, started: dict[str, Any]) -> None:
        self._home = home
        self._started = {**started, "volumes": {str(outputs): {"bind": str(outputs), "mode": "rw"}}}
        # A process of its own removes the containers where this one is killed: its standard input ends then.
        watch = [sys.executable, "-m", __name__, str(home)]
        self._watch = subprocess.Popen(watch, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True)

    def get_ready(self) -> None:
        """Do nothing, for each container imports for itself."""

    def run(self, image: str, name: str, command: list[str], on_line: Callable[[str], None]) -> int:
        """Run a task.

        Args:
            image: The image's name.
            name: The task's name, which isn't used.
            command: The command with its arguments.
            on_line: It is called with each line that the task prints.

        Returns:
            The exit code.
        """
        import docker

        with _started(docker.from_env(), image, command, **self._started) as (container, stream):
            for line in lines(stream):
                on_line(line)
            return int(container.wait()["StatusCode"])

    def close(self) -> None:
        """Stop and remove the containers."""
        remove(self._home)
        self._watch.kill()
        self._watch.wait()


def output(client: "docker.DockerClient", image: str, command: list[str], **arguments: Any) -> str:  # noqa: ANN401
    """The output of a command in a container.

    Raises:
        docker.errors.ContainerError: The command failed. The error holds its output.
    """
    import docker

    with _started(client, image, command, **arguments) as (container, stream):
        printed = b"".join(stream)
        code = int(container.wait()["StatusCode"])
    if code:
        raise docker.errors.ContainerError(container, code, command, image, printed)
    return printed.decode()


@contextmanager
def _started(
    client: "docker.DockerClient",
    image: str,
    command: list[str],
    **arguments: Any,  # noqa: ANN401 (docker-py's)
) -> Iterator[tuple["docker.models.containers.Container", Iterable[bytes]]]:
    """Start a container, give it and its output, and remove it at the end.

    The output is attached to before the start, for podman's log of a container that has ended may never end (4.3.1).
    """
    container = client.containers.create(image, command, **arguments)
    try:
        stream = container.attach(stream=True, stdout=True, stderr=True)
        container.start()
        yield container, stream
    except BaseException:
        container.stop(timeout=STOP_SECONDS)
        raise
    finally:
        container.remove(force=True)


def remove(home: Path) -> None:
    """Stop and remove the containers of an experiment's run, if there are any."""
    import docker

    # Without `sparse`, docker-py asks about each container, and podman fails for one that was removed meanwhile.
    for container in docker.from_env().containers.list(all=True, sparse=True, filters={"label": f"{LABEL}={home}"}):
        try:
            container.stop(timeout=STOP_SECONDS)
            container.remove(force=True)
        except docker.errors.APIError as error:
            # Docker answers 404 where a container is gone; podman 4.3 answers 500 while it removes one.
            if "no such container" not in str(error).lower():
                raise


if __name__ == "__main__":
    sys.stdin.read()
    with suppress(Exception):
        remove(Path(sys.argv[1]))
