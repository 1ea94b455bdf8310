"""Tasks of a local run in containers."""

import base64
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.common.files import MOUNT
from components.vertex.cloud_storage import COPIES, GS
from pipeline.experiment.experiment import Experiment
from pipeline.graph.code_version import all_files, code_digest
from pipeline.local.processes import ROOT, lines

# Of every container of a run: the folder of its experiment, whose lock the run holds.
LABEL = "keras-pipeline.run"
# The image's own user, for a host whose user is root.
USER = 1000
# The training writes a checkpoint when it is asked to end.
STOP_SECONDS = 10
# Files and processes of a container. podman 4.3 lowers its own limit of processes to this.
MOST = 32768
# What an image's components/ holds: the path and the bytes of each file, as JSON.
_CODE = """
import base64, json
from pathlib import Path
import components
root = Path(components.__file__).parent
files = [path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
print(json.dumps({path.relative_to(root).as_posix(): base64.b64encode(path.read_bytes()).decode() for path in files}))
"""


def arguments(experiment: Experiment, home: Path, outputs: Path, registry: Path) -> dict[str, Any]:
    """How the run's containers are started, as docker-py's `containers.run` takes it.

    A task reads the data and writes the folders of the run; nothing else of it or of this machine. It runs as the
    user who started it, or as the image's where that is root.

    Args:
        experiment: Whose data are mounted, read-only and where they are here.
        home: The experiment's folder.
        outputs: The folder that the tasks write to, which kfp mounts.
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
        uid, gid = 0, 0  # the name that this machine's user has in there
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
            *(docker.types.Mount(str(t), str(s), type="bind", read_only=True) for s, t in data),
        ],
        "read_only": True,
        "tmpfs": {"/tmp": ""},  # noqa: S108
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        # A source of one's own may read from a network, whose proxy may be this machine's.
        "network_mode": "host",
        "ulimits": limits(),
    }


def limits() -> list[Any]:
    """Files and processes of a container, as many as podman can give where it runs in a container itself.

    Without CAP_SYS_RESOURCE its own defaults are refused.
    """
    import docker

    found = []
    for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        hard = resource.getrlimit(number)[1]
        most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
        found.append(docker.types.Ulimit(name=name, soft=most, hard=most))
    return found


def mounts(experiment: Experiment) -> list[tuple[Path, Path]]:
    """For each folder or file that an option of a data set names, where it is here and where in the container."""
    found = [(Path(os.environ["TFDS_DATA_DIR"]).absolute(),) * 2]
    options = [value for config in experiment.datasets.values() for value in config.options.model_dump().values()]
    for path in options:
        if not isinstance(path, str) or not path:
            continue
        if path.startswith(GS):
            bucket = path.removeprefix(GS).partition("/")[0]
            found.append(((COPIES / bucket).absolute(), MOUNT / bucket))
        else:
            found.append(
                (Path(os.path.normpath(Path(path).absolute())),) * 2
            )  # without "..", as a mount's target has to be
    return sorted({pair for pair in found if pair[0].exists()})


def check_images(images: list[str], started: dict[str, Any]) -> None:
    """Refuse images that aren't here and can't be pulled, that don't start, or that hold other code than this folder.

    Args:
        images: Their names.
        started: `arguments` of a container.

    Raises:
        InputError: One line on the first of them.
    """
    import docker

    client, here = docker.from_env(), all_files()
    for image in images:
        try:
            _image(client, image)
            said = output(client, image, ["python3", "-c", _CODE], **started)
        except docker.errors.ContainerError as error:
            raise InputError(f"image {image}: can't run this folder's code: {_line(error)}; make images") from None
        except docker.errors.DockerException as error:
            raise InputError(f"image {image}: {_line(error)}") from None
        held = {name: code_digest(name, base64.b64decode(content)) for name, content in json.loads(said).items()}
        if differing := sorted({name for name, _ in held.items() ^ here.items()}):
            more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
            raise InputError(
                f"image {image}: holds other code than this folder: components/{differing[0]}{more}; make images"
            )


def _image(client: Any, image: str) -> None:  # noqa: ANN401 (a docker.DockerClient)
    import docker

    try:
        client.images.get(image)
    except docker.errors.ImageNotFound:
        if "/" not in image:
            raise InputError(f"image {image}: there is none here; make images") from None
        client.images.pull(image)


def _line(error: Exception) -> str:
    text = getattr(error, "stderr", None) or getattr(error, "explanation", None) or str(error)
    text = text.decode() if isinstance(text, bytes) else text
    return " ".join(text.strip().splitlines()[-1:])


class Containers:
    """Runs tasks, each in a container of its image.

    Args:
        home: The experiment's folder.
        outputs: The folder that the tasks write to.
        started: `arguments` of their containers.
    """

    def __init__(self, home: Path, outputs: Path, started: dict[str, Any]) -> None:
        self._home = home
        self._started = {**started, "volumes": {str(outputs): {"bind": str(outputs), "mode": "rw"}}}
        # It removes them where this process is killed.
        watch = [sys.executable, "-m", __name__, str(home)]
        self._watch = subprocess.Popen(watch, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True)

    def get_ready(self) -> None:
        """Nothing: each container imports for itself."""

    def run(self, image: str, name: str, command: list[str], say: Callable[[str], None]) -> int:
        """Run a task.

        Args:
            image: The image's name.
            name: The task's; not used.
            command: What to run.
            say: Gets each line that it prints.

        Returns:
            Its exit code.
        """
        import docker

        with _started(docker.from_env(), image, command, **self._started) as (container, stream):
            for line in lines(stream):
                say(line)
            return int(container.wait()["StatusCode"])

    def close(self) -> None:
        """Remove what goes on."""
        remove(self._home)
        self._watch.kill()
        self._watch.wait()


def output(client: Any, image: str, command: list[str], **arguments: Any) -> str:  # noqa: ANN401
    """What a command prints in an image.

    Raises:
        docker.errors.ContainerError: It failed; the error says what it printed.
    """
    import docker

    with _started(client, image, command, **arguments) as (container, stream):
        printed = b"".join(stream)
        code = int(container.wait()["StatusCode"])
    if code:
        raise docker.errors.ContainerError(container, code, command, image, printed)
    return printed.decode()


@contextmanager
def _started(client: Any, image: str, command: list[str], **arguments: Any) -> Iterator[tuple[Any, Iterable[bytes]]]:  # noqa: ANN401
    """A container and what it prints; in the end it is removed.

    Its output is attached to before it starts: podman's log of a container that has ended may never end (4.3.1).
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

    # Sparse: docker-py would ask about each, and one that is removed meanwhile is an error of podman's.
    for container in docker.from_env().containers.list(all=True, sparse=True, filters={"label": f"{LABEL}={home}"}):
        try:
            container.stop(timeout=STOP_SECONDS)
            container.remove(force=True)
        except docker.errors.APIError as error:
            # Docker answers 404 of one that is gone, podman 4.3 in its midst 500.
            if "no such container" not in str(error).lower():
                raise


if __name__ == "__main__":
    sys.stdin.read()
    with suppress(Exception):
        remove(Path(sys.argv[1]))
