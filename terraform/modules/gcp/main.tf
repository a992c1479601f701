# The log in Cloud Storage and Spanner, behind Cloud CDN, with instances of the service in
# a managed instance group. README.md tells what it is, and what it costs.

terraform {
  required_version = ">= 1.9"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.50"
    }
  }
}

locals {
  host    = trimprefix(var.issuer, "https://")
  bucket  = "${var.project}-${var.name}-log"
  private = "${var.project}-${var.name}-artifacts"
  # A new instance has no index.
  snapshots = "${var.project}-${var.name}-snapshots"
}

resource "google_service_account" "service" {
  project      = var.project
  account_id   = var.name
  display_name = "conmotiond of ${local.host}"
}

# One key for what is not public.
resource "google_kms_key_ring" "private" {
  project  = var.project
  name     = var.name
  location = var.region
}

# Artifacts cannot be read without it: a version that is destroyed can be put back for a month.
resource "google_kms_crypto_key" "private" {
  name                       = "private"
  key_ring                   = google_kms_key_ring.private.id
  rotation_period            = "7776000s"
  destroy_scheduled_duration = "2592000s"
}

data "google_storage_project_service_account" "storage" {
  project = var.project
}

resource "google_kms_crypto_key_iam_member" "storage" {
  crypto_key_id = google_kms_crypto_key.private.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${data.google_storage_project_service_account.storage.email_address}"
}

# The bucket of the log, which everybody reads, and that of artifacts, which nobody else
# reads. What is overwritten or deleted by mistake can be put back for a week.
resource "google_storage_bucket" "log" {
  project                     = var.project
  name                        = local.bucket
  location                    = var.region
  uniform_bucket_level_access = true
  force_destroy               = !var.deletion_protection
  soft_delete_policy {
    retention_duration_seconds = 604800
  }
}

resource "google_storage_bucket" "artifacts" {
  project                     = var.project
  name                        = local.private
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection
  encryption {
    default_kms_key_name = google_kms_crypto_key.private.id
  }
  soft_delete_policy {
    retention_duration_seconds = 604800
  }
  depends_on = [google_kms_crypto_key_iam_member.storage]
}

# Who can write here decides what a new instance takes for registered.
resource "google_storage_bucket" "snapshots" {
  project                     = var.project
  name                        = local.snapshots
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true # they are made anew
  encryption {
    default_kms_key_name = google_kms_crypto_key.private.id
  }
  soft_delete_policy {
    retention_duration_seconds = 0
  }
  depends_on = [google_kms_crypto_key_iam_member.storage]
}

resource "google_storage_bucket_iam_member" "everybody" {
  bucket = google_storage_bucket.log.name
  role   = "roles/storage.objectViewer"
  member = "allUsers"
}

resource "google_storage_bucket_iam_member" "log" {
  bucket = google_storage_bucket.log.name
  role   = "roles/storage.objectUser"
  member = google_service_account.service.member
}

# Artifacts are made and read, and one that is damaged is replaced, which Cloud Storage
# takes for deleting the old one. What is replaced can be put back for a week.
resource "google_storage_bucket_iam_member" "artifacts" {
  bucket = google_storage_bucket.artifacts.name
  role   = "roles/storage.objectUser"
  member = google_service_account.service.member
}

resource "google_storage_bucket_iam_member" "snapshots" {
  bucket = google_storage_bucket.snapshots.name
  role   = "roles/storage.objectUser"
  member = google_service_account.service.member
}

resource "google_spanner_instance" "this" {
  project          = var.project
  name             = var.name
  config           = "regional-${var.region}"
  display_name     = var.name
  processing_units = var.spanner_processing_units
  force_destroy    = !var.deletion_protection
}

resource "google_spanner_database" "this" {
  project                  = var.project
  instance                 = google_spanner_instance.this.name
  name                     = "conmotion"
  version_retention_period = "7d"
  enable_drop_protection   = var.deletion_protection
  deletion_protection      = var.deletion_protection
}

# It reads, writes, and makes its tables.
resource "google_spanner_database_iam_member" "service" {
  project  = var.project
  instance = google_spanner_instance.this.name
  database = google_spanner_database.this.name
  role     = "roles/spanner.databaseUser"
  member   = google_service_account.service.member
}

# The keys of the service, as a tar archive, which conmotiond keys makes. Its content is
# put there by hand: it is in no state file.
resource "google_secret_manager_secret" "keys" {
  project   = var.project
  secret_id = "${var.name}-keys"
  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }
}

resource "google_secret_manager_secret_iam_member" "keys" {
  project   = var.project
  secret_id = google_secret_manager_secret.keys.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.service.member
}

resource "google_project_iam_member" "metrics" {
  for_each = toset(["roles/monitoring.metricWriter", "roles/logging.logWriter"])
  project  = var.project
  role     = each.value
  member   = google_service_account.service.member
}
