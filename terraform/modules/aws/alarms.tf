# The CloudWatch agent reads the service's metrics on each instance. All instances write
# to one dimension, so that the least and the greatest of them can be asked for.

locals {
  scrape = yamlencode({
    global         = { scrape_interval = "15s", scrape_timeout = "10s" }
    scrape_configs = [{ job_name = "conmotiond", static_configs = [{ targets = ["127.0.0.1:9090"] }] }]
  })
  agent = jsonencode({
    logs = {
      metrics_collected = {
        prometheus = {
          log_group_name         = aws_cloudwatch_log_group.metrics.name
          prometheus_config_path = "/etc/conmotion/prometheus.yaml"
          emf_processor = {
            metric_namespace = local.metrics
            metric_declaration = [{
              source_labels = ["job"]
              label_matcher = "^conmotiond$"
              dimensions    = [["job"]]
              metric_selectors = [for name in ["conmotion_checkpoint_late_seconds", "conmotion_checkpoint_size", "conmotion_index_lag", "conmotion_follower_lag_seconds", "conmotion_writer"] :
                "^${name}$"
              ]
            }]
          }
        }
      }
    }
  })
}

resource "aws_cloudwatch_log_group" "metrics" {
  name              = "/conmotion/${var.name}/metrics"
  retention_in_days = 7
}

locals {
  service = { namespace = local.metrics, dimensions = { job = "conmotiond" } }
  front   = { namespace = "AWS/ApplicationELB", dimensions = { LoadBalancer = aws_lb.service.arn_suffix } }

  alarms = {
    checkpoint = {
      text       = "Entries are stored, and no checkpoint was made public for ${var.checkpoint_age_alarm} s"
      expression = "IF(late > ${var.checkpoint_age_alarm}, 1, 0)"
      missing    = "breaching" # no instance tells
      metrics    = { late = merge(local.service, { name = "conmotion_checkpoint_late_seconds", stat = "Maximum" }) }
    }
    writer = {
      text       = "No instance is the writer"
      expression = "IF(writer < 1, 1, 0)"
      missing    = "breaching"
      metrics    = { writer = merge(local.service, { name = "conmotion_writer", stat = "Maximum" }) }
    }
    lag = {
      text       = "An instance is behind the log"
      expression = "IF(index > 10000 OR follower > 60, 1, 0)"
      missing    = "notBreaching"
      metrics = {
        index    = merge(local.service, { name = "conmotion_index_lag", stat = "Maximum" })
        follower = merge(local.service, { name = "conmotion_follower_lag_seconds", stat = "Maximum" })
      }
    }
    errors = {
      text       = "More than 1 % of the answers are 5xx"
      expression = "IF(FILL(failed, 0) + FILL(alone, 0) > FILL(requests, 0) * 0.01 AND FILL(failed, 0) + FILL(alone, 0) > 5, 1, 0)"
      missing    = "notBreaching"
      metrics = {
        failed   = merge(local.front, { name = "HTTPCode_Target_5XX_Count", stat = "Sum" })
        alone    = merge(local.front, { name = "HTTPCode_ELB_5XX_Count", stat = "Sum" }) # no instance answered
        requests = merge(local.front, { name = "RequestCount", stat = "Sum" })
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.text
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  metric_query {
    id          = "result"
    expression  = each.value.expression
    label       = each.value.text
    return_data = true
  }
  dynamic "metric_query" {
    for_each = each.value.metrics
    content {
      id = metric_query.key
      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.name
        dimensions  = metric_query.value.dimensions
        stat        = metric_query.value.stat
        period      = 60
      }
    }
  }
}
