# From nothing: the services that it needs, and the log.
#
#   tofu init && tofu apply -var project=my-project -var issuer=https://transparency.example \
#       -var 'program={url="https://...", sha256="..."}'

terraform {
  required_version = ">= 1.9"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.50"
    }
  }
}

variable "project" {
  type = string
}

variable "region" {
  type    = string
  default = "europe-west3"
}

variable "issuer" {
  type = string
}

variable "program" {
  type = object({ url = string, sha256 = string })
}

provider "google" {
  project = var.project
  region  = var.region
}

resource "google_project_service" "needed" {
  for_each           = toset(["cloudkms", "compute", "iam", "logging", "monitoring", "secretmanager", "spanner", "storage"])
  project            = var.project
  service            = "${each.value}.googleapis.com"
  disable_on_destroy = false
}

module "conmotion" {
  source     = "../../modules/gcp"
  project    = var.project
  region     = var.region
  issuer     = var.issuer
  program    = var.program
  depends_on = [google_project_service.needed]
}

output "next" {
  value = module.conmotion.next
}
