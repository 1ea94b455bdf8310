"""Checks of the project, the bucket and the images in Google Cloud, before a pipeline is submitted."""

import os

from google.api_core import exceptions
from google.auth.credentials import Credentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage
from google.cloud.resourcemanager_v3 import ProjectsClient

from components.common.errors import InputError
from components.vertex.client import credentials
from components.vertex.errors import error_line
from pipeline.vertex.settings import Settings

SECONDS = 20
_GOOGLE_REGISTRIES = ("pkg.dev", "gcr.io")


def preflight(settings: Settings, images: list[str]) -> list[str]:
    """Check that the project, the bucket and the images exist.

    Returns:
        A note for each of them that couldn't be checked.

    Raises:
        InputError: One doesn't exist, or the bucket is in another region.
    """
    google = credentials()
    notes = [_check_project(settings, google), _check_bucket(settings, google)]
    notes += [_check_image(image, google) for image in images]
    return [note for note in notes if note]


def _check_project(settings: Settings, google: Credentials) -> str | None:
    endpoint = os.environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER", "").rstrip("/")
    options = {"api_endpoint": endpoint} if endpoint else {}
    projects = ProjectsClient(transport="rest", credentials=google, client_options=options)
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


def _check_bucket(settings: Settings, google: Credentials) -> str | None:
    name = settings.bucket
    try:
        bucket = storage.Client(settings.project, google).get_bucket(name, timeout=SECONDS, retry=None)
    except exceptions.NotFound:
        raise InputError(
            f"bucket gs://{name}: there is none; make it: gcloud storage buckets create gs://{name} "
            f"--project={settings.project} --location={settings.region}"
        ) from None
    except exceptions.Forbidden:
        return f"bucket gs://{name}: its region was not checked, the permission storage.buckets.get is missing"
    except Exception as error:
        raise InputError(error_line(error, f"looking for bucket gs://{name}")) from None
    # Trainings mount a bucket of one region only: cloud.google.com/vertex-ai/docs/training/cloud-storage-file-system
    if bucket.location != settings.region.upper():
        locations = f" ({', '.join(bucket.data_locations).lower()})" if bucket.data_locations else ""
        raise InputError(
            f"bucket gs://{name}: lies in {bucket.location.lower()}{locations}, expected one in the region "
            f"{settings.region} alone, where the pipeline runs"
        )
    return None


def _check_image(image: str, google: Credentials) -> str | None:
    host, _, rest = image.partition("/")
    if not host.endswith(_GOOGLE_REGISTRIES):
        # Google's credentials are sent to Google's registries only.
        return f"image {image}: not checked, {host} is not a registry of Google's"
    name, at, reference = rest.partition("@")
    if not at:
        name, _, reference = rest.partition(":")
    base = os.environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_ARTIFACTREGISTRY", f"https://{host}").rstrip("/")
    try:
        answer = AuthorizedSession(google).head(
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
