"""The IAM roles that are needed to run and to submit pipelines."""

from dataclasses import dataclass

from components.vertex.client import VertexOptions
from pipeline.vertex.settings import Settings

RUNNER = "RUNNER@PROJECT.iam.gserviceaccount.com"
SUBMITTER = "user:YOU"


@dataclass(frozen=True)
class Role:
    """A role that somebody needs.

    Attributes:
        role: The role, such as roles/aiplatform.user.
        who: The member in IAM's notation, "serviceAccount:…" or "user:…".
        why: The purpose.
        command: The command that grants the role.
    """

    role: str
    who: str
    why: str
    command: str


def roles(options: VertexOptions, settings: Settings) -> list[Role]:
    """The roles of the account that runs pipelines, and of the user who submits them.

    Source: cloud.google.com/vertex-ai/docs/pipelines/configure-project and
    cloud.google.com/vertex-ai/docs/general/custom-service-account.

    Where the options have no service account, a placeholder stands for it.
    """
    account = options.service_account or RUNNER.replace("PROJECT", settings.project)
    runner, bucket = f"serviceAccount:{account}", f"gs://{settings.bucket}"
    project = f"gcloud projects add-iam-policy-binding {settings.project}"
    storage = f"gcloud storage buckets add-iam-policy-binding {bucket}"
    acting = f"gcloud iam service-accounts add-iam-policy-binding {account} --project={settings.project}"
    needed = [
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
        Role(f"roles/{role}", who, why, f"{on} --member={who} --role=roles/{role}") for role, who, why, on in needed
    ]
