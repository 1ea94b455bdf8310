# What a first submit to Vertex AI needs in a Google Cloud project: services, a bucket, a registry of images, the account
# that runs pipelines, and an account that a GitHub workflow acts as without a key.

terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0, < 9.0"
    }
  }
}

provider "google" {
  project = var.project
  region  = var.region
}

locals {
  services = [
    "aiplatform.googleapis.com",
    "artifactregistry.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "compute.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "logging.googleapis.com",
    "storage.googleapis.com",
    "sts.googleapis.com",
  ]
}

resource "google_project_service" "services" {
  for_each           = toset(local.services)
  service            = each.value
  disable_on_destroy = false
}

# One region alone: training can't read a bucket of several.
resource "google_storage_bucket" "runs" {
  name                        = var.bucket
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  depends_on                  = [google_project_service.services]

  # Checkpoints of trainings that were given up. A finished training removes its own.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = var.checkpoint_days
      matches_prefix = ["checkpoints/"]
    }
  }
  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }
}

resource "google_artifact_registry_repository" "images" {
  repository_id = "images"
  location      = var.region
  format        = "DOCKER"
  depends_on    = [google_project_service.services]
}

# The account that tasks, jobs and endpoints run as.
resource "google_service_account" "runner" {
  account_id   = "pipeline-runner"
  display_name = "Runs pipelines"
  depends_on   = [google_project_service.services]
}

# Jobs, models and endpoints.
resource "google_project_iam_member" "runner_vertex" {
  project = var.project
  role    = "roles/aiplatform.user"
  member  = google_service_account.runner.member
}

# Its bucket, and no other.
resource "google_storage_bucket_iam_member" "runner_bucket" {
  bucket = google_storage_bucket.runs.name
  role   = "roles/storage.objectUser"
  member = google_service_account.runner.member
}

resource "google_artifact_registry_repository_iam_member" "runner_images" {
  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.runner.member
}

# A training that is a CustomJob of its own is created by the runner, as the runner.
resource "google_service_account_iam_member" "runner_as_itself" {
  service_account_id = google_service_account.runner.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.runner.member
}

# People, groups or accounts that submit: "user:ada@example.com", "group:ml@example.com".
resource "google_project_iam_member" "submitters_vertex" {
  for_each = toset(var.submitters)
  project  = var.project
  role     = "roles/aiplatform.user"
  member   = each.value
}

resource "google_project_iam_member" "submitters_logs" {
  for_each = toset(var.submitters)
  project  = var.project
  role     = "roles/logging.viewer"
  member   = each.value
}

resource "google_storage_bucket_iam_member" "submitters_bucket" {
  for_each = toset(var.submitters)
  bucket   = google_storage_bucket.runs.name
  role     = "roles/storage.objectUser"
  member   = each.value
}

resource "google_service_account_iam_member" "submitters_as_runner" {
  for_each           = toset(var.submitters)
  service_account_id = google_service_account.runner.name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value
}
