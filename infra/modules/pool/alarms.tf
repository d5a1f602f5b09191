# Alarms that need a person. Each description has the meaning and the first step.

locals {
  namespace        = "Retinue/${local.name}"
  worker_namespace = "${local.namespace}/worker" # apart from the metric filters' own

  # Log lines to count. A metric filter's metric is 0 in minutes with other lines and missing in
  # minutes without any. Throttled calls and jobs on videos are logged once per minute and detector, by the
  # worker's own metrics: summed up here, since an alarm cannot add up detectors that it has no list of.
  counted = {
    runs            = { pattern = "{ $.event = \"run_recorded\" }", value = "1" }
    failed_runs     = { pattern = "{ $.event = \"run_recorded\" && $.outcome = \"failed\" }", value = "1" }
    throttled_calls = { pattern = "{ $.throttled = \"yes\" && $.retries_total > 0 }", value = "$.retries_total" }
  }
  counted_with_videos = {
    overdue_looks = { pattern = "{ $.overdue = \"yes\" && $.job_looks_total > 0 }", value = "$.job_looks_total" }
    jobs          = { pattern = "{ $.hinted = \"*\" && $.jobs_ended_total > 0 }", value = "$.jobs_ended_total" }
    silent_jobs   = { pattern = "{ $.hinted = \"no\" && $.jobs_ended_total > 0 }", value = "$.jobs_ended_total" }
  }
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = merge(local.counted, { for name, line in local.counted_with_videos : name => line if local.has_videos })

  name           = each.key
  log_group_name = module.task.log_group_name
  pattern        = each.value.pattern

  metric_transformation {
    namespace     = local.namespace
    name          = each.key
    value         = each.value.value
    default_value = "0"
    unit          = "Count"
  }
}

resource "aws_cloudwatch_metric_alarm" "queue_age" {
  alarm_name          = "${local.name}-queue-age"
  alarm_description   = "The oldest message has waited for more than ${var.config.alarm_age_seconds} s. Are tasks running, at their maximum, or has one stopped receiving? Its log says why."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.this.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.config.alarm_age_seconds
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${local.name}-dead-letters"
  alarm_description   = "A message could not even be recorded as failed, or the queue refused it. Look at one, fix the cause, then redrive."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "failure_rate" {
  alarm_name          = "${local.name}-failure-rate"
  alarm_description   = "More than ${var.config.alarm_failed_percent} % of an hour's runs failed. The view failed_runs says which codes."
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.config.alarm_failed_percent
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]

  metric_query {
    id          = "failed_percent"
    expression  = "IF(runs >= 20, 100 * FILL(failed_runs, 0) / runs, 0)"
    label       = "Failed runs, in percent (of at least 20)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = toset(["runs", "failed_runs"])

    content {
      id = metric_query.key

      metric {
        namespace   = local.namespace
        metric_name = aws_cloudwatch_log_metric_filter.this[metric_query.key].name
        stat        = "Sum"
        period      = 3600 # in five minutes, a small pool has few
      }
    }
  }
}

# Pacing keeps throttled calls few: it uses 98 % of a quota, and goes down when it is throttled.
resource "aws_cloudwatch_metric_alarm" "throttling" {
  alarm_name          = "${local.name}-throttling"
  alarm_description   = "More than 10 % of calls have been throttled for 15 minutes: others use the same quota, or it is smaller than the detectors' option requests_per_second says."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 10
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]

  metric_query {
    id          = "throttled_percent"
    expression  = "IF(FILL(throttled_calls, 0) >= 20, 100 * FILL(throttled_calls, 0) / (FILL(runs, 0) + FILL(throttled_calls, 0)), 0)"
    label       = "Throttled calls, in percent (of at least 20)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = toset(["runs", "throttled_calls"])

    content {
      id = metric_query.key

      metric {
        namespace   = local.namespace
        metric_name = aws_cloudwatch_log_metric_filter.this[metric_query.key].name
        stat        = "Sum"
        period      = 300
      }
    }
  }
}

# The worker's own metrics, once a minute, are above zero for as long as it waits. A failover of the database
# ends sooner by itself. A hosted model that sleeps is one cause.
locals {
  pause_alarms = {
    receiving = {
      threshold   = length(var.config.hosted_models)
      description = "A worker has received nothing for 5 minutes (no permission, no database, a spent budget …). It keeps its messages and resumes by itself. The log line receiving_paused has the cause and the reason."
    }
    jobs = {
      threshold   = 0
      description = "Jobs on videos have waited for 5 minutes (no permission, a spent budget …). They continue by themselves. The log line jobs_paused has the cause and the reason."
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "paused" {
  for_each = { for name, alarm in local.pause_alarms : name => alarm if name == "receiving" || local.has_videos }

  alarm_name          = "${local.name}-${each.key}-paused"
  alarm_description   = each.value.description
  namespace           = local.worker_namespace
  metric_name         = "${each.key}_paused"
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}

# Jobs take minutes, or hours for the longest videos.
resource "aws_cloudwatch_metric_alarm" "job_overdue" {
  count = local.has_videos ? 1 : 0

  alarm_name          = "${local.name}-job-overdue"
  alarm_description   = "A job on a video was started more than 24 hours ago and hasn't ended. It holds one of the account's slots. The view open_jobs and the log line job_overdue name it."
  namespace           = local.namespace
  metric_name         = aws_cloudwatch_log_metric_filter.this["overdue_looks"].name
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "job_messages" {
  count = local.has_videos ? 1 : 0

  alarm_name          = "${local.name}-job-messages"
  alarm_description   = "More than half of the jobs on videos ended without a message from Rekognition. Their results were recorded, up to a minute late. Check the topic ${local.name}-jobs, its subscription and the role that Rekognition assumes."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 50
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]

  metric_query {
    id          = "silent_percent"
    expression  = "IF(jobs >= 5, 100 * FILL(silent_jobs, 0) / jobs, 0)"
    label       = "Jobs without a message, in percent (of at least 5)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = toset(["jobs", "silent_jobs"])

    content {
      id = metric_query.key

      metric {
        namespace   = local.namespace
        metric_name = aws_cloudwatch_log_metric_filter.this[metric_query.key].name
        stat        = "Sum"
        period      = 3600
      }
    }
  }
}
