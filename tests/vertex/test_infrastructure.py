"""The Terraform files and the workflow, held against what the code needs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from components.vertex.checkpoints import OWN_BUCKET, address, checkpoints_folder
from components.vertex.client import VertexOptions
from pipeline.vertex.roles import SUBMITTER, roles
from pipeline.vertex.settings import Settings

ROOT = Path(__file__).parent.parent.parent
TERRAFORM = sorted((ROOT / "infrastructure").glob("*.tf"))
WORKFLOW = ROOT / ".github" / "workflows" / "pipeline.yml"


def test_terraform_grants_each_role_that_submit_names():
    text = "\n".join(path.read_text(encoding="utf-8") for path in TERRAFORM)
    granted = set(re.findall(r'resource "\w+" "(runner|submitters)_\w+" \{[^}]*?role\s+= "([\w./]+)"', text))
    needed = roles(VertexOptions(), Settings("my-project", "us-central1", "gs://bucket"))
    assert granted == {("submitters" if role.who == SUBMITTER else "runner", role.role) for role in needed}


def test_the_lifecycle_rule_is_of_checkpoints():
    main = (ROOT / "infrastructure" / "main.tf").read_text(encoding="utf-8")
    (prefix,) = re.findall(r'matches_prefix = \["(.*?)"\]', main)
    model = "/gcs/bucket/runs/123456789012/families-1/train-cnn_-42/model"
    assert f"gs://bucket/{prefix}" == f"{address(checkpoints_folder(OWN_BUCKET, model))}/"


@pytest.mark.skipif(not any(map(shutil.which, ("tofu", "terraform"))), reason="neither OpenTofu nor Terraform is here")
def test_it_is_formatted_terraform():
    tool = next(filter(None, map(shutil.which, ("tofu", "terraform"))))
    done = subprocess.run([tool, "fmt", "-check", "-diff"], cwd=ROOT / "infrastructure", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_runs_commands_that_are_there():
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]
    asked = [part for command in commands for part in re.findall(r"make ([\w -]+)(?= |$|\))", command)]
    targets = {name for part in asked for name in part.split() if not name.startswith("-")}
    assert targets == {"setup", "images", "push", "submit"}
    assert all(re.search(rf"^{name}:.*##", makefile, re.MULTILINE) for name in targets)
    assert (ROOT / ".ci" / "run").is_file()
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in WORKFLOW.read_text(encoding="utf-8"), "the account has no key"
