variable "project" {
  type        = string
  description = "Id of the project. It has to be there, with billing."
}

variable "region" {
  type        = string
  default     = "us-central1"
  description = "Where pipelines run, and where the bucket and the images lie."
}

variable "bucket" {
  type        = string
  description = "Name of the bucket to make; nobody else in the world may have it."
}

variable "submitters" {
  type        = list(string)
  default     = []
  description = "Who may submit, such as user:ada@example.com or group:ml@example.com."
}

variable "checkpoint_days" {
  type        = number
  default     = 30
  description = "Checkpoints of unfinished trainings are deleted after so many days."
}

variable "github_repository" {
  type        = string
  default     = ""
  description = "owner/name of the repository whose workflow builds and submits; empty for none."
}
