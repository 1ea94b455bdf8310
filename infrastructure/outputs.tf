output "registry" {
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
  description = "REGISTRY of make push."
}

output "bucket" {
  value       = "gs://${google_storage_bucket.runs.name}/runs"
  description = "BUCKET of make submit."
}

output "service_account" {
  value       = google_service_account.runner.email
  description = "vertex.service_account of an experiment."
}

output "workload_identity_provider" {
  value       = one(google_iam_workload_identity_pool_provider.github[*].name)
  description = "Repository variable WORKLOAD_IDENTITY_PROVIDER of the workflow."
}

output "ci_account" {
  value       = one(google_service_account.ci[*].email)
  description = "Repository variable CI_ACCOUNT of the workflow."
}
