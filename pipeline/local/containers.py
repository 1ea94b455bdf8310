"""The containers of a local run's tasks, by the command of Docker or podman."""

import base64
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.common.errors import InputError
from components.common.events import EVENTS
from components.common.files import MOUNT
from components.common.image_names import USER
from components.common.words import some
from components.vertex.cloud_storage import COPIES, GS
from pipeline.experiment.experiment import Experiment
from pipeline.graph.code_version import all_files, code_digest
from pipeline.local.tasks import Task

# Every container of a run has this label. Its value is the experiment's folder, whose lock the run holds.
LABEL = "keras-pipeline.run"
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
# A program that removes the containers with a label when its standard input ends.
_REMOVE = """
import subprocess, sys
sys.stdin.read()
engine, label = sys.argv[1:]
found = subprocess.run([engine, "ps", "-aq", "--filter", label], capture_output=True, text=True).stdout.split()
for command in (["kill"], ["rm", "-f"]) if found else ():
    subprocess.run([engine, *command, *found], capture_output=True)
"""


@contextmanager
def ready(experiment: Experiment, tasks: list[Task], home: Path, outputs: Path, registry: Path) -> Iterator[list[str]]:
    """The command that starts a container of a run, up to the image's name.

    An experiment's containers are removed, first those of a run that was killed, and again at the end. A process of its
    own removes them when its standard input ends, so also where this one is killed.

    Raises:
        InputError: There is no engine, an image of the tasks is refused, or a folder's name has a quotation mark.
    """
    command = engine()
    program = [sys.executable, "-c", _REMOVE, command, f"label={LABEL}={home}"]
    subprocess.run(program, stdin=subprocess.DEVNULL)
    with subprocess.Popen(program, stdin=subprocess.PIPE, start_new_session=True):
        start = start_command(command, experiment, home, outputs, registry)
        check_images(sorted({task.image for task in tasks}), start)
        yield start


def engine() -> str:
    """The command that runs containers: docker where its daemon answers, or else podman.

    Raises:
        InputError: Neither of them is here.
    """
    if shutil.which("docker") and not _run(["docker", "version"]).returncode:
        return "docker"
    if os.environ.get("DOCKER_HOST"):
        raise InputError(f"DOCKER_HOST: nothing answers at {os.environ['DOCKER_HOST']}")
    if not shutil.which("podman"):
        raise InputError("no Docker daemon answers, and there is no podman; on Debian: apt-get install podman")
    return "podman"


def start_command(engine: str, experiment: Experiment, home: Path, outputs: Path, registry: Path) -> list[str]:
    """The command that starts a container of the run, up to the image's name.

    A task can read the data, under the path that they have here, and write the tasks' outputs and the registry. It sees
    nothing else of this machine. It runs as the user who started the run, or as the image's user where that is root.

    Raises:
        InputError: A folder's name has a quotation mark.
    """
    data = mounts(experiment)
    for path in (outputs, registry, *(source for source, _ in data)):
        if '"' in str(path):
            raise InputError(f"{path}: a folder with a \" in its name can't be mounted in a container")
    for folder in (outputs, registry):
        folder.mkdir(parents=True, exist_ok=True)
    environment = {
        "HOME": "/tmp",  # noqa: S108 (the container's own)
        "TFDS_DATA_DIR": os.environ["TFDS_DATA_DIR"],
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TPU_SKIP_MDS_QUERY": "1",  # its library would ask Google's servers for minutes which TPU this is
    }
    # The command reads a mount as a line of CSV.
    bound = [f'type=bind,"source={path}","target={path}"' for path in (outputs, registry)]
    bound += [f'type=bind,"source={path}","target={target}",readonly' for path, target in data]
    return [
        *(engine, "run", "--rm", "--label", f"{LABEL}={home}", "--user", _user(engine, [outputs, registry])),
        *("--workdir", str(Path.cwd()), "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),  # noqa: S108
        # A user's own source may read from the network, through a proxy on this machine.
        *("--security-opt", "no-new-privileges", "--network", "host"),
        *(f"--env={name}={value}" for name, value in environment.items()),
        f"--env={EVENTS}",  # with its value in the environment of this command
        *(f"--mount={mount}" for mount in bound),
        *limits(),
    ]


def _user(engine: str, folders: list[Path]) -> str:
    """The user and group of a container's processes. Where they are the image's own, the folders become theirs."""
    said = _run([engine, "info", "--format", "{{json .}}"]).stdout
    if '"rootless":true' in said or "name=rootless" in said:
        return "0:0"  # inside a rootless container, root is this machine's user
    if os.getuid():
        return f"{os.getuid()}:{os.getgid()}"
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, USER, USER, follow_symlinks=False)
    return f"{USER}:{USER}"


def limits() -> list[str]:
    """The limits of a container's files and processes, at most those of this process.

    The kernel refuses podman's own defaults where podman itself runs in a container without CAP_SYS_RESOURCE.
    """
    hard = {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1] for name in ("nofile", "nproc")}
    most = {name: MOST if limit == resource.RLIM_INFINITY else min(limit, MOST) for name, limit in hard.items()}
    return [f"--ulimit={name}={limit}:{limit}" for name, limit in most.items()]


def mounts(experiment: Experiment) -> list[tuple[Path, Path]]:
    """Each folder or file that a data set or hyperparameters name: its path here, and its path in the container."""
    pairs = [(Path(os.environ["TFDS_DATA_DIR"]).absolute(),) * 2]
    values = [value for config in experiment.datasets.values() for value in config.options.model_dump().values()]
    values += [value for spec in experiment.models.values() for value in spec.hyperparameters.values()]
    for path in values:
        if not isinstance(path, str) or not path:
            continue
        if path.startswith(GS):
            bucket = path.removeprefix(GS).partition("/")[0]
            pairs.append(((COPIES / bucket).absolute(), MOUNT / bucket))
        else:
            # The target of a mount may not have "..".
            pairs.append((Path(os.path.normpath(Path(path).absolute())),) * 2)
    return sorted({pair for pair in pairs if pair[0].exists()})


def check_images(images: list[str], start: list[str]) -> None:
    """Refuse an image that isn't here and can't be pulled, doesn't start, or holds other code than this folder.

    Raises:
        InputError: An image is refused. Only the first such image is named.
    """
    engine, here = start[0], all_files()
    for image in images:
        if _run([engine, "image", "inspect", image]).returncode:
            if "/" not in image:
                raise InputError(f"image {image}: there is none here; make images")
            if (pulled := _run([engine, "pull", image])).returncode:
                raise InputError(f"image {image}: {_last(pulled)}")
        said = _run([*start, image, "python3", "-c", _CODE])
        if said.returncode:
            raise InputError(f"image {image}: can't run this folder's code: {_last(said)}; make images")
        held = {name: code_digest(name, base64.b64decode(text)) for name, text in json.loads(said.stdout).items()}
        if differing := sorted({name for name, _ in held.items() ^ here.items()}):
            files = f"components/{some(differing, 1)}"
            raise InputError(f"image {image}: holds other code than this folder: {files}; make images")


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def _last(done: "subprocess.CompletedProcess[str]") -> str:
    """The last line that a command printed."""
    return ["no message", *done.stdout.splitlines(), *done.stderr.strip().splitlines()][-1]
