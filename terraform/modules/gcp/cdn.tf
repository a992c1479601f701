# One address: the log's files from the bucket, through Cloud CDN; all else from the
# service.

resource "google_compute_global_address" "this" {
  project = var.project
  name    = var.name
}

# Objects say by their Cache-Control how long they may be kept, and nothing else does.
resource "google_compute_backend_bucket" "log" {
  project     = var.project
  name        = "${var.name}-log"
  bucket_name = google_storage_bucket.log.name
  enable_cdn  = true
  cdn_policy {
    cache_mode       = "USE_ORIGIN_HEADERS"
    negative_caching = false # a tile that is not there now may be there in a second
  }
}

resource "google_compute_backend_service" "service" {
  project               = var.project
  name                  = var.name
  protocol              = "HTTP"
  port_name             = "http"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  timeout_sec           = 3600 # for a whole answer, and the largest artifacts take long
  health_checks         = [google_compute_health_check.ready.id]
  backend {
    group           = google_compute_region_instance_group_manager.service.instance_group
    balancing_mode  = "UTILIZATION"
    capacity_scaler = 1
  }
}

resource "google_compute_url_map" "this" {
  project         = var.project
  name            = var.name
  default_service = google_compute_backend_service.service.id
  # The load balancer appends to X-Forwarded-For; a Forwarded that a client sent would
  # contradict it, and then the service believes neither.
  header_action {
    request_headers_to_remove = ["Forwarded"]
  }
  host_rule {
    hosts        = [local.host]
    path_matcher = "log"
  }
  path_matcher {
    name            = "log"
    default_service = google_compute_backend_service.service.id
    path_rule {
      paths   = ["/checkpoint", "/tile/*", "/.well-known/scitt-keys", "/.well-known/transparency-configuration"]
      service = google_compute_backend_bucket.log.id
    }
  }
}

resource "google_compute_managed_ssl_certificate" "this" {
  project = var.project
  name    = var.name
  managed {
    domains = [local.host]
  }
}

resource "google_compute_ssl_policy" "this" {
  project         = var.project
  name            = var.name
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
}

resource "google_compute_target_https_proxy" "this" {
  project          = var.project
  name             = var.name
  url_map          = google_compute_url_map.this.id
  ssl_certificates = [google_compute_managed_ssl_certificate.this.id]
  ssl_policy       = google_compute_ssl_policy.this.id
}

resource "google_compute_global_forwarding_rule" "this" {
  project               = var.project
  name                  = var.name
  target                = google_compute_target_https_proxy.this.id
  ip_address            = google_compute_global_address.this.id
  port_range            = "443"
  load_balancing_scheme = "EXTERNAL_MANAGED"
}
