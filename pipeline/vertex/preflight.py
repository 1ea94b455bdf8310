"""What can be asked of Google Cloud before a pipeline is sent: the project, the bucket, the images."""

import os
from typing import Any

from components.common.errors import InputError
from components.vertex.client import credentials, error_line
from pipeline.vertex.settings import Settings

SECONDS = 20
_GOOGLES = ("pkg.dev", "gcr.io")


def preflight(settings: Settings, images: list[str]) -> list[str]:
    """Ask whether project, bucket and images are there.

    Args:
        settings: Where a pipeline is to run.
        images: Names of images, with registry.

    Returns:
        A note for each thing that couldn't be asked.

    Raises:
        InputError: One isn't there, or the bucket lies in another region.
    """
    allowed = credentials()
    notes = [_project(settings, allowed), _bucket(settings, allowed)]
    notes += [_image(image, allowed) for image in images]
    return [note for note in notes if note]


def _project(settings: Settings, allowed: Any) -> str | None:  # noqa: ANN401
    from google.api_core import exceptions
    from google.cloud.resourcemanager_v3 import ProjectsClient

    endpoint = os.environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER", "").rstrip("/")
    options = {"api_endpoint": endpoint} if endpoint else {}
    projects = ProjectsClient(transport="rest", credentials=allowed, client_options=options)
    try:
        projects.get_project(name=f"projects/{settings.project}", timeout=SECONDS, retry=None)
    except exceptions.Forbidden as error:
        if "SERVICE_DISABLED" in str(error) or "has not been used" in str(error):
            return f"project {settings.project}: not checked, its Resource Manager API is off"
        # Google gives the same answer for a project that isn't there.
        raise InputError(f"project {settings.project}: there is none that these credentials can see") from None
    except exceptions.NotFound:
        raise InputError(f"project {settings.project}: there is none") from None
    except Exception as error:
        raise InputError(error_line(error, f"looking for project {settings.project}")) from None
    return None


def _bucket(settings: Settings, allowed: Any) -> str | None:  # noqa: ANN401
    from google.api_core import exceptions
    from google.cloud import storage

    name = settings.bucket
    try:
        bucket = storage.Client(settings.project, allowed).get_bucket(name, timeout=SECONDS, retry=None)
    except exceptions.NotFound:
        raise InputError(
            f"bucket gs://{name}: there is none; make it: gcloud storage buckets create gs://{name} "
            f"--project={settings.project} --location={settings.region}"
        ) from None
    except exceptions.Forbidden:
        return f"bucket gs://{name}: its region was not checked, the permission storage.buckets.get is missing"
    except Exception as error:
        raise InputError(error_line(error, f"looking for bucket gs://{name}")) from None
    # Training reads a bucket of one region alone: cloud.google.com/vertex-ai/docs/training/cloud-storage-file-system
    if bucket.location != settings.region.upper():
        spread = f" ({', '.join(bucket.data_locations).lower()})" if bucket.data_locations else ""
        raise InputError(
            f"bucket gs://{name}: lies in {bucket.location.lower()}{spread}, expected one in the region "
            f"{settings.region} alone, where the pipeline runs"
        )
    return None


def _image(image: str, allowed: Any) -> str | None:  # noqa: ANN401
    from google.auth.transport.requests import AuthorizedSession

    host, _, rest = image.partition("/")
    if not host.endswith(_GOOGLES):
        # Google's credentials are for Google's registries alone.
        return f"image {image}: not checked, {host} is not a registry of Google's"
    name, at, reference = rest.partition("@")
    if not at:
        name, _, reference = rest.partition(":")
    base = os.environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_ARTIFACTREGISTRY", f"https://{host}").rstrip("/")
    try:
        answer = AuthorizedSession(allowed).head(
            f"{base}/v2/{name}/manifests/{reference or 'latest'}",
            headers={
                "Accept": "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
                "application/vnd.docker.distribution.manifest.v2+json"
            },
            timeout=SECONDS,
        )
    except Exception as error:
        raise InputError(error_line(error, f"looking for image {image}")) from None
    if answer.status_code == 404:
        raise InputError(f"image {image}: the registry has none; build and push it, then compile with its digest")
    if answer.status_code in (401, 403):
        raise InputError(f"image {image}: the permission artifactregistry.repositories.downloadArtifacts is missing")
    return None if answer.ok else f"image {image}: not checked, the registry answered {answer.status_code}"
