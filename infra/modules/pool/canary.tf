# Whether the canary, an image that is uploaded every few minutes, becomes rows. It takes the way of
# every image, so its alarm covers topics, keys, policies and filters.

locals {
  canary_key = "canary/image.png" # modules/image_bucket/canary.tf uploads it

  has_canary = var.canary_minutes != null && !alltrue([for name in keys(var.config.detectors) : startswith(name, "rekognition-video-")]) && (
    length(local.key_patterns) == 0
    || anytrue([for prefix in var.config.key_prefixes : startswith(local.canary_key, prefix)])
    || anytrue([for suffix in var.config.key_suffixes : endswith(local.canary_key, suffix)])
  )
}

resource "aws_cloudwatch_log_metric_filter" "canary" {
  count = local.has_canary ? 1 : 0

  name           = "canaries"
  log_group_name = module.task.log_group_name
  pattern        = "{ ($.event = \"run_recorded\" || $.event = \"run_skipped\") && $.uri = \"*/${local.canary_key}*\" }"

  metric_transformation {
    namespace = local.namespace
    name      = "canaries"
    value     = "1"
    unit      = "Count"
  }
}

resource "aws_cloudwatch_metric_alarm" "canary" {
  count = local.has_canary ? 1 : 0

  alarm_name          = "${local.name}-canary"
  alarm_description   = "No canary has become rows for ${3 * var.canary_minutes} minutes. Look for it in this order: schedule, topic, queue, dead letters, tasks, log."
  namespace           = local.namespace
  metric_name         = "canaries"
  statistic           = "Sum"
  period              = 60 * var.canary_minutes
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}
