"""Who needs which role on what, so that a pipeline runs: IAM's part of a first submit."""

from dataclasses import dataclass

from components.vertex.client import VertexOptions
from pipeline.vertex.settings import Settings

RUNNER = "RUNNER@PROJECT.iam.gserviceaccount.com"
SUBMITTER = "user:YOU"


@dataclass(frozen=True)
class Role:
    """A role that somebody needs.

    Attributes:
        role: Such as roles/aiplatform.user.
        who: In IAM's words, "serviceAccount:…" or "user:…".
        why: What it is for.
        command: What grants it.
    """

    role: str
    who: str
    why: str
    command: str


def roles(options: VertexOptions, settings: Settings) -> list[Role]:
    """The roles of the account that runs pipelines and of whoever submits them.

    As Google's documentation has them: cloud.google.com/vertex-ai/docs/pipelines/configure-project and
    cloud.google.com/vertex-ai/docs/general/custom-service-account.

    Args:
        options: Of the experiment. Without a service account, a placeholder stands for it.
        settings: Where it runs.
    """
    account = options.service_account or RUNNER.replace("PROJECT", settings.project)
    runner, bucket = f"serviceAccount:{account}", f"gs://{settings.bucket}"
    project = f"gcloud projects add-iam-policy-binding {settings.project}"
    storage = f"gcloud storage buckets add-iam-policy-binding {bucket}"
    acting = f"gcloud iam service-accounts add-iam-policy-binding {account} --project={settings.project}"
    wanted = [
        ("aiplatform.user", runner, "creates jobs, models and endpoints", project),
        ("storage.objectUser", runner, f"reads and writes {bucket}", storage),
        ("iam.serviceAccountUser", runner, "launches CustomJobs that run as itself", acting),
        ("artifactregistry.reader", runner, "pulls the images", project),
        ("aiplatform.user", SUBMITTER, "submits, follows and cancels", project),
        ("iam.serviceAccountUser", SUBMITTER, f"submits what runs as {account}", acting),
        ("storage.objectUser", SUBMITTER, f"looks at {bucket}, fetches results", storage),
        ("logging.viewer", SUBMITTER, "reads logs", project),
    ]
    return [
        Role(f"roles/{role}", who, why, f"{on} --member={who} --role=roles/{role}") for role, who, why, on in wanted
    ]
