# A GitHub workflow of one repository acts as an account of its own. It has no key: GitHub's token is exchanged.

resource "google_iam_workload_identity_pool" "github" {
  count                     = var.github_repository == "" ? 0 : 1
  workload_identity_pool_id = "github"
  depends_on                = [google_project_service.services]
}

resource "google_iam_workload_identity_pool_provider" "github" {
  count                              = var.github_repository == "" ? 0 : 1
  workload_identity_pool_id          = google_iam_workload_identity_pool.github[0].workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
    "attribute.ref"        = "assertion.ref"
  }
  # Nobody else's repository, and only what was merged.
  attribute_condition = "assertion.repository == '${var.github_repository}' && assertion.ref == 'refs/heads/main'"
  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account" "ci" {
  count        = var.github_repository == "" ? 0 : 1
  account_id   = "pipeline-ci"
  display_name = "Builds images and submits pipelines"
  depends_on   = [google_project_service.services]
}

resource "google_service_account_iam_member" "github_as_ci" {
  count              = var.github_repository == "" ? 0 : 1
  service_account_id = google_service_account.ci[0].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.github[0].name}/attribute.repository/${var.github_repository}"
}

resource "google_artifact_registry_repository_iam_member" "ci_images" {
  count      = var.github_repository == "" ? 0 : 1
  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.ci[0].member
}

resource "google_project_iam_member" "ci_vertex" {
  count   = var.github_repository == "" ? 0 : 1
  project = var.project
  role    = "roles/aiplatform.user"
  member  = google_service_account.ci[0].member
}

resource "google_storage_bucket_iam_member" "ci_bucket" {
  count  = var.github_repository == "" ? 0 : 1
  bucket = google_storage_bucket.runs.name
  role   = "roles/storage.objectUser"
  member = google_service_account.ci[0].member
}

resource "google_service_account_iam_member" "ci_as_runner" {
  count              = var.github_repository == "" ? 0 : 1
  service_account_id = google_service_account.runner.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.ci[0].member
}
