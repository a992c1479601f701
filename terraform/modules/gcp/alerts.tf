# The Ops Agent reads the service's metrics on each instance.

locals {
  agent = yamlencode({
    metrics = {
      receivers = {
        conmotion = {
          type   = "prometheus"
          config = { scrape_configs = [{ job_name = "conmotiond", scrape_interval = "15s", static_configs = [{ targets = ["127.0.0.1:9090"] }] }] }
        }
      }
      service = { pipelines = { conmotion = { receivers = ["conmotion"] } } }
    }
  })

  alerts = {
    checkpoint = {
      text  = "Entries are stored, and no checkpoint was made public for ${var.checkpoint_age_alarm} s"
      query = "max(conmotion_checkpoint_late_seconds) > ${var.checkpoint_age_alarm}"
    }
    # The last value of an instance that is gone stays for five minutes, so a sum would
    # count two writers after each change.
    writer = {
      text  = "No instance is the writer"
      query = "max(conmotion_writer) < 1 or absent(conmotion_writer)"
    }
    lag = {
      text  = "An instance is behind the log"
      query = "max(conmotion_index_lag) > 10000 or max(conmotion_follower_lag_seconds) > 60"
    }
    errors = {
      text  = "More than 1 % of the answers are 5xx"
      query = "sum(rate(loadbalancing_googleapis_com:https_request_count{url_map_name=\"${google_compute_url_map.this.name}\", response_code_class=\"500\"}[5m])) > 0.01 * sum(rate(loadbalancing_googleapis_com:https_request_count{url_map_name=\"${google_compute_url_map.this.name}\"}[5m]))"
    }
  }
}

resource "google_monitoring_alert_policy" "this" {
  for_each              = local.alerts
  project               = var.project
  display_name          = "${var.name}: ${each.key}"
  combiner              = "OR"
  notification_channels = var.notification_channels
  documentation {
    content   = each.value.text
    mime_type = "text/markdown"
  }
  conditions {
    display_name = each.value.text
    condition_prometheus_query_language {
      query               = each.value.query
      duration            = "120s"
      evaluation_interval = "30s"
    }
  }
}
