"""The project, region and bucket, from the command line, the environment, or gcloud's configuration."""

import configparser
import os
import re
from dataclasses import dataclass
from pathlib import Path

from components.common.errors import InputError

# The environment variables, of which the first that is set counts.
PROJECT = ("GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT")
REGION = ("GOOGLE_CLOUD_REGION", "CLOUDSDK_AI_REGION", "CLOUDSDK_COMPUTE_REGION")
BUCKET = ("PIPELINE_BUCKET",)
_PROJECT_ID = re.compile(r"([a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_REGION_NAME = re.compile(r"[a-z]+-[a-z]+[0-9]+")
_ROOT = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[^\s?#\[\]]*)?")


@dataclass(frozen=True)
class Settings:
    """The project, region and bucket of a pipeline on Google Cloud.

    Attributes:
        project: The project's id.
        region: The region, such as us-central1.
        root: The place that runs are written to, gs://bucket or gs://bucket/folder.
    """

    project: str
    region: str
    root: str

    @property
    def parent(self) -> str:
        """The name of the location, which is the parent of all resources."""
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def bucket(self) -> str:
        """The name of the root's bucket."""
        return self.root.removeprefix("gs://").split("/")[0]


def find_settings(project: str | None, region: str | None, bucket: str | None, needs_bucket: bool = True) -> Settings:
    """Find the settings, and check their form.

    Args:
        project: The project of the command line; None for that of the environment or of gcloud.
        region: The region of the command line, or None.
        bucket: The bucket of the command line, or None: gs://bucket, gs://bucket/folder or a bucket's name.
        needs_bucket: Whether a bucket is required.

    Raises:
        InputError: One of them is missing or malformed.
    """
    gcloud = _gcloud()
    project = project or _variable(PROJECT) or gcloud.get("core/project")
    region = region or _variable(REGION) or gcloud.get("ai/region") or gcloud.get("compute/region")
    root = bucket or _variable(BUCKET) or ""
    if not project:
        raise InputError(f"no project: --project, {PROJECT[0]}, or `gcloud config set project …`")
    if not _PROJECT_ID.fullmatch(project):
        raise InputError(f"project: '{project}', expected a project's id such as my-project-123")
    if not region:
        raise InputError(f"no region: --region us-central1, {REGION[0]}, or `gcloud config set ai/region …`")
    if not _REGION_NAME.fullmatch(region):
        raise InputError(f"region: '{region}', expected one such as us-central1")
    if needs_bucket and not root:
        raise InputError(f"no bucket: --bucket gs://… or {BUCKET[0]}; runs are written there")
    if root and "://" not in root:
        root = f"gs://{root}"
    if root and not _ROOT.fullmatch(root):
        raise InputError(f"bucket: '{root}', expected gs://bucket or gs://bucket/folder")
    return Settings(project, region, root.rstrip("/"))


def _variable(names: tuple[str, ...]) -> str | None:
    """The value of the first environment variable that is set."""
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _gcloud() -> dict[str, str]:
    """The properties of gcloud's active configuration, as "section/name"."""
    home = Path(os.environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud")
    try:
        active = (
            os.environ.get("CLOUDSDK_ACTIVE_CONFIG_NAME")
            or (home / "active_config").read_text(encoding="utf-8").strip()
        )
    except OSError:
        active = "default"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(home / "configurations" / f"config_{active}")
    except (configparser.Error, OSError):
        return {}
    return {f"{section}/{name}": value for section in parser.sections() for name, value in parser.items(section)}
