mock_provider "google" {
  mock_resource "google_compute_global_address" {
    defaults = { address = "192.0.2.7" }
  }
  mock_resource "google_kms_crypto_key" {
    defaults = { id = "projects/p/locations/l/keyRings/r/cryptoKeys/k" }
  }
}

variables {
  project = "project"
  region  = "europe-west3"
  issuer  = "https://transparency.example"
  program = { url = "https://files.example/conmotiond", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
}

run "all_of_it" {
  assert {
    condition     = yamldecode(output.config).storage == "gs://project-conmotion-log" && yamldecode(output.config).artifacts == "gs://project-conmotion-artifacts"
    error_message = output.config
  }
  assert {
    condition     = yamldecode(output.config).database == "spanner://projects/project/instances/conmotion/databases/conmotion" && strcontains(yamldecode(output.config).trusted-proxies, "192.0.2.7")
    error_message = output.config
  }
  assert {
    condition     = google_compute_region_instance_group_manager.service.target_size == 2
    error_message = "Two instances."
  }
  assert {
    condition     = one(google_compute_backend_bucket.log.cdn_policy).cache_mode == "USE_ORIGIN_HEADERS" && !one(google_compute_backend_bucket.log.cdn_policy).negative_caching
    error_message = "The objects say how long they are kept."
  }
  assert {
    condition     = toset(keys(google_monitoring_alert_policy.this)) == toset(["checkpoint", "writer", "lag", "errors"])
    error_message = "An alert is missing."
  }
}

# Who may do what is written out here: a change of it is a decision.
run "least_privilege" {
  assert {
    condition     = google_storage_bucket_iam_member.log.role == "roles/storage.objectUser" && google_storage_bucket_iam_member.artifacts.role == "roles/storage.objectUser"
    error_message = "The buckets."
  }
  assert {
    condition     = google_spanner_database_iam_member.service.role == "roles/spanner.databaseUser" && toset(keys(google_project_iam_member.metrics)) == toset(["roles/monitoring.metricWriter", "roles/logging.logWriter"])
    error_message = "Database and project."
  }
  assert {
    condition     = google_storage_bucket.artifacts.public_access_prevention == "enforced" && google_storage_bucket_iam_member.everybody.role == "roles/storage.objectViewer"
    error_message = "Everybody reads the log, and nobody else the artifacts."
  }
  assert {
    condition     = google_storage_bucket.snapshots.public_access_prevention == "enforced" && yamldecode(output.config).snapshots == "gs://${google_storage_bucket.snapshots.name}"
    error_message = "Who can write snapshots decides what counts as registered."
  }
}

# The service signs with the keys and does nothing else with them.
run "keys_in_kms" {
  variables {
    kms_keys             = 1
    kms_protection_level = "HSM"
  }
  assert {
    condition     = toset(keys(output.kms_keys)) == toset(["note-1", "receipt-1", "service-1"]) && output.kms_keys["note-1"] == "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
    error_message = "One key of each."
  }
  assert {
    condition     = alltrue([for name, key in google_kms_crypto_key.signing : key.purpose == "ASYMMETRIC_SIGN" && one(key.version_template).protection_level == "HSM" && one(key.version_template).algorithm == (startswith(name, "note") ? "EC_SIGN_ED25519" : "EC_SIGN_P256_SHA256")])
    error_message = "The note key is Ed25519, and the others are ES256."
  }
  assert {
    condition     = alltrue([for m in google_kms_crypto_key_iam_member.signing : m.role == "roles/cloudkms.signerVerifier"])
    error_message = "Who may do what with a key."
  }
  assert {
    condition     = strcontains(output.next, "--recovery-key recovery-key.pem --note-key gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1 --receipt-key gcpkms://")
    error_message = output.next
  }
}

run "more_than_a_node_and_a_half" {
  command = plan
  variables {
    spanner_processing_units = 1500
  }
  expect_failures = [var.spanner_processing_units]
}

# Each of these values is refused: the run fails where one of them is not. It is one run, since each
# starts all providers.
run "refused" {
  command = plan
  variables {
    spanner_processing_units = 150                                 # half a unit
    machine_type             = "t2a-standard-1"                    # a processor of another kind
    notification_channels    = ["me@example.com"]                  # a channel that is an address
    issuer                   = "https://transparency.example:8443" # an issuer with a port
  }
  expect_failures = [var.spanner_processing_units, var.machine_type, var.notification_channels, var.issuer]
}
