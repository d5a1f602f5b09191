# Objectives for the pool's runs, and alarms when their error budget is used up too fast: 14.4 times in an hour
# (2 % of a month's budget) or 6 times in six hours (5 %). A short window ends an alarm soon after its cause.

locals {
  # Share of runs that can be late or fail, in percent.
  error_budget = var.config.slo == null ? null : 100 - var.config.slo.percent

  slo_windows = {
    hour           = { seconds = 3600, times = 14.4 }
    five_minutes   = { seconds = 300, times = 14.4 }
    six_hours      = { seconds = 21600, times = 6 }
    thirty_minutes = { seconds = 1800, times = 6 }
  }
  slo_metrics = var.config.slo == null ? {} : {
    late   = aws_cloudwatch_log_metric_filter.late[0].name
    failed = aws_cloudwatch_log_metric_filter.this["failed_runs"].name
  }
  budget_alarms = merge([for objective, metric in local.slo_metrics : {
    for window, about in local.slo_windows : "${objective}-${replace(window, "_", "-")}" => merge(about, { metric = metric })
  }]...)
}

resource "aws_cloudwatch_log_metric_filter" "late" {
  count = var.config.slo == null ? 0 : 1

  name           = "late_runs"
  log_group_name = module.task.log_group_name
  pattern        = "{ $.event = \"run_recorded\" && $.waited_seconds > ${var.config.slo.seconds} }"

  metric_transformation {
    namespace     = local.namespace
    name          = "late_runs"
    value         = "1"
    default_value = "0"
    unit          = "Count"
  }
}

# One for each window, without actions: the composite alarms below combine them.
resource "aws_cloudwatch_metric_alarm" "budget" {
  for_each = local.budget_alarms

  alarm_name          = "${local.name}-budget-${each.key}"
  alarm_description   = "Part of an objective's alarm."
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.times * local.error_budget
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"

  metric_query {
    id          = "percent"
    expression  = "IF(runs >= 20, 100 * FILL(bad, 0) / runs, 0)"
    label       = "Bad runs, in percent (of at least 20)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { runs = aws_cloudwatch_log_metric_filter.this["runs"].name, bad = each.value.metric }

    content {
      id = metric_query.key

      metric {
        namespace   = local.namespace
        metric_name = metric_query.value
        stat        = "Sum"
        period      = each.value.seconds
      }
    }
  }
}

resource "aws_cloudwatch_composite_alarm" "slo" {
  for_each = local.slo_metrics

  alarm_name        = "${local.name}-slo-${each.key}"
  alarm_description = "Of the runs of the last hours, too many are ${each.key}: at this rate the month's error budget of ${local.error_budget} % will not last."
  alarm_actions     = [var.alarm_topic_arn]
  ok_actions        = [var.alarm_topic_arn]

  alarm_rule = join(" OR ", [for pair in [["hour", "five-minutes"], ["six-hours", "thirty-minutes"]] :
    format("(ALARM(%q) AND ALARM(%q))", [for window in pair :
      aws_cloudwatch_metric_alarm.budget[format("%s-%s", each.key, window)].alarm_name
    ]...)
  ])
}
