resource "google_compute_network" "this" {
  project                 = var.project
  name                    = var.name
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "this" {
  project                  = var.project
  name                     = var.name
  region                   = var.region
  network                  = google_compute_network.this.id
  ip_cidr_range            = "10.80.0.0/24"
  private_ip_google_access = true
}

locals {
  # Where Google's load balancers and health checks come from.
  balancers = ["35.191.0.0/16", "130.211.0.0/22"]
}

resource "google_compute_firewall" "balancers" {
  project       = var.project
  name          = "${var.name}-balancers"
  network       = google_compute_network.this.name
  source_ranges = local.balancers
  target_tags   = [var.name]
  allow {
    protocol = "tcp"
    ports    = ["8080", "9090"]
  }
}

# A replica hands on to the writer.
resource "google_compute_firewall" "replicas" {
  project     = var.project
  name        = "${var.name}-replicas"
  network     = google_compute_network.this.name
  source_tags = [var.name]
  target_tags = [var.name]
  allow {
    protocol = "tcp"
    ports    = ["8080"]
  }
}

# A shell on an instance, through Google's proxy that asks who you are.
resource "google_compute_firewall" "shell" {
  project       = var.project
  name          = "${var.name}-shell"
  network       = google_compute_network.this.name
  source_ranges = ["35.235.240.0/20"]
  target_tags   = [var.name]
  allow {
    protocol = "tcp"
    ports    = ["22"]
  }
}

module "instance" {
  source  = "../instance"
  issuer  = var.issuer
  program = var.program
  secrets = {
    keys     = "gcloud secrets versions access latest --project=${var.project} --secret=${google_secret_manager_secret.keys.secret_id}"
    password = "true" # Spanner has none
  }
  artifact_readers = var.artifact_readers
  flags = merge(
    {
      storage         = "gs://${local.bucket}"
      artifacts       = "gs://${local.private}"
      snapshots       = "gs://${local.snapshots}"
      database        = "spanner://projects/${var.project}/instances/${google_spanner_instance.this.name}/databases/${google_spanner_database.this.name}"
      trusted-proxies = join(",", concat(local.balancers, [google_compute_subnetwork.this.ip_cidr_range, google_compute_global_address.this.address]))
    },
    var.flags,
  )
  files = [{ path = "/etc/conmotion/ops-agent.yaml", content = local.agent }]
  after = [
    "curl -fsSL --retry 5 https://dl.google.com/cloudagents/add-google-cloud-ops-agent-repo.sh | bash -s -- --also-install",
    # Not before: the package asks what to do with a configuration that is there already.
    "cp /etc/conmotion/ops-agent.yaml /etc/google-cloud-ops-agent/config.yaml && systemctl restart google-cloud-ops-agent",
  ]
}

resource "google_compute_instance_template" "service" {
  project      = var.project
  name_prefix  = "${var.name}-"
  region       = var.region
  machine_type = var.machine_type
  tags         = [var.name]
  metadata = {
    user-data              = module.instance.user_data
    enable-oslogin         = "TRUE"
    block-project-ssh-keys = "TRUE"
  }
  disk {
    source_image = "ubuntu-os-cloud/ubuntu-2404-lts-amd64" # it has cloud-init and gcloud
    disk_size_gb = var.disk_gib
    disk_type    = "pd-balanced"
    boot         = true
    auto_delete  = true
  }
  network_interface {
    subnetwork = google_compute_subnetwork.this.id
    access_config {} # the way out; the firewall lets nobody in
  }
  service_account {
    email  = google_service_account.service.email
    scopes = ["cloud-platform"] # what it may do, its roles say
  }
  shielded_instance_config {
    enable_secure_boot = true
  }
  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_health_check" "ready" {
  project            = var.project
  name               = "${var.name}-ready"
  check_interval_sec = 5
  timeout_sec        = 4
  http_health_check {
    port         = 9090
    request_path = "/readyz"
  }
}

# An update ends the old instances when the new ones are ready. Otherwise an instance
# whose service is not ready is not replaced: an index that is made anew takes its time,
# and the database, not this group, says who writes.
resource "google_compute_region_instance_group_manager" "service" {
  project            = var.project
  name               = var.name
  region             = var.region
  base_instance_name = var.name
  target_size        = var.instances
  version {
    instance_template = google_compute_instance_template.service.self_link_unique
  }
  named_port {
    name = "http"
    port = 8080
  }
  auto_healing_policies {
    health_check      = google_compute_health_check.ready.id
    initial_delay_sec = 3600
  }
  instance_lifecycle_policy {
    default_action_on_failure = "DO_NOTHING"
  }
  update_policy {
    type                  = "PROACTIVE"
    minimal_action        = "REPLACE"
    max_surge_fixed       = 3 # at least one for each zone
    max_unavailable_fixed = 0
  }
}
