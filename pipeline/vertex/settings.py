"""Which project, region and bucket: from the command line, the environment, or gcloud's configuration."""

import configparser
import os
import re
from dataclasses import dataclass
from pathlib import Path

from components.common.errors import InputError

# The environment's variables, in the order that they are looked at, and gcloud's properties after them.
PROJECT = ("GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT")
REGION = ("GOOGLE_CLOUD_REGION", "CLOUDSDK_AI_REGION", "CLOUDSDK_COMPUTE_REGION")
BUCKET = ("PIPELINE_BUCKET",)
_PROJECT_ID = re.compile(r"([a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_REGION_NAME = re.compile(r"[a-z]+-[a-z]+[0-9]+")
_ROOT = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[^\s?#\[\]]*)?")


@dataclass(frozen=True)
class Settings:
    """Where on Google Cloud a pipeline runs.

    Attributes:
        project: The project's id.
        region: Such as us-central1.
        root: Where runs are written, gs://bucket or gs://bucket/folder.
    """

    project: str
    region: str
    root: str

    @property
    def parent(self) -> str:
        """The resource that everything lies under."""
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def bucket(self) -> str:
        """The name of the root's bucket."""
        return self.root.removeprefix("gs://").split("/")[0]


def settings(project: str | None, region: str | None, bucket: str | None, needs_bucket: bool = True) -> Settings:
    """Find the settings, and check their form.

    Args:
        project: From the command line; None looks elsewhere.
        region: As well.
        bucket: As well: gs://bucket, gs://bucket/folder or a bucket's bare name.
        needs_bucket: Whether a bucket has to be known.

    Raises:
        InputError: One is missing or has a wrong form.
    """
    gcloud = _gcloud()
    found_project = project or _first(PROJECT) or gcloud.get("core/project")
    found_region = region or _first(REGION) or gcloud.get("ai/region") or gcloud.get("compute/region")
    root = bucket or _first(BUCKET) or ""
    if not found_project:
        raise InputError(f"no project: --project, {PROJECT[0]}, or `gcloud config set project …`")
    if not _PROJECT_ID.fullmatch(found_project):
        raise InputError(f"project: '{found_project}', expected a project's id such as my-project-123")
    if not found_region:
        raise InputError(f"no region: --region us-central1, {REGION[0]}, or `gcloud config set ai/region …`")
    if not _REGION_NAME.fullmatch(found_region):
        raise InputError(f"region: '{found_region}', expected one such as us-central1")
    if needs_bucket and not root:
        raise InputError(f"no bucket: --bucket gs://… or {BUCKET[0]}; runs are written there")
    if root and "://" not in root:
        root = f"gs://{root}"
    if root and not _ROOT.fullmatch(root):
        raise InputError(f"bucket: '{root}', expected gs://bucket or gs://bucket/folder")
    return Settings(found_project, found_region, root.rstrip("/"))


def _first(names: tuple[str, ...]) -> str | None:
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
