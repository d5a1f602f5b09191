# As many tasks as the backlog needs to be worked off within the latency target.
#
#   backlog  = messages visible + in flight
#   tasks    = backlog ÷ number of messages that one task processes within the latency target
#
# Target tracking holds backlog per task at that number. It multiplies, so it can neither leave zero
# nor be trusted to return there: two alarms do that. Both target tracking and the alarm that stops the last
# task count messages in flight, so that it is never stopped because they are being worked on.
#
# Container Insights may report running tasks later than SQS reports messages. A minute without their number is
# no data for target tracking.

locals {
  backlog_per_task = max(1, floor(var.config.images_per_minute_per_task * var.config.latency_target_seconds / 60))
  to_zero          = var.config.min == 0

  metrics = {
    visible   = { namespace = "AWS/SQS", name = "ApproximateNumberOfMessagesVisible", stat = "Maximum", dimensions = { QueueName = aws_sqs_queue.this.name } }
    in_flight = { namespace = "AWS/SQS", name = "ApproximateNumberOfMessagesNotVisible", stat = "Maximum", dimensions = { QueueName = aws_sqs_queue.this.name } }
    running   = { namespace = "ECS/ContainerInsights", name = "RunningTaskCount", stat = "Average", dimensions = { ClusterName = var.task.cluster.name, ServiceName = aws_ecs_service.this.name } }
  }
}

resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  resource_id        = "service/${var.task.cluster.name}/${aws_ecs_service.this.name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = var.config.min
  max_capacity       = var.config.max
}

resource "aws_appautoscaling_policy" "backlog" {
  name               = "${local.name}-backlog-per-task"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  resource_id        = aws_appautoscaling_target.this.resource_id
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = local.backlog_per_task
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    customized_metric_specification {
      dynamic "metrics" {
        for_each = local.metrics

        content {
          id          = metrics.key
          return_data = false

          metric_stat {
            stat = metrics.value.stat

            metric {
              namespace   = metrics.value.namespace
              metric_name = metrics.value.name

              dynamic "dimensions" {
                for_each = metrics.value.dimensions

                content {
                  name  = dimensions.key
                  value = dimensions.value
                }
              }
            }
          }
        }
      }

      metrics {
        id          = "backlog_per_task"
        label       = "Messages, visible and in flight, per running task"
        expression  = "(visible + in_flight) / IF(running > 0, running, 1)"
        return_data = true
      }
    }
  }
}

resource "aws_appautoscaling_policy" "wake" {
  count = local.to_zero ? 1 : 0

  name               = "${local.name}-wake"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  resource_id        = aws_appautoscaling_target.this.resource_id
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    cooldown                = var.config.gpu ? 900 : 300 # longer than a task takes to start
    metric_aggregation_type = "Maximum"

    step_adjustment {
      metric_interval_lower_bound = 0
      scaling_adjustment          = 1
    }
  }
}

resource "aws_appautoscaling_policy" "sleep" {
  count = local.to_zero ? 1 : 0

  name               = "${local.name}-sleep"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  resource_id        = aws_appautoscaling_target.this.resource_id
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension

  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    cooldown                = 60
    metric_aggregation_type = "Maximum"

    step_adjustment {
      metric_interval_upper_bound = 0
      scaling_adjustment          = 0
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "wake" {
  count = local.to_zero ? 1 : 0

  alarm_name          = "${local.name}-wake"
  alarm_description   = "Scaling, no cause for concern: messages wait and no task runs."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.wake[0].arn]

  # While tasks run, messages are in flight, or at least the minute before has their number.
  metric_query {
    id          = "asleep_with_backlog"
    expression  = "IF(FILL(running, 0) > 0 OR in_flight > 0, 0, visible)"
    label       = "Messages while no task runs"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = local.metrics

    content {
      id = metric_query.key

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.name
        stat        = metric_query.value.stat
        dimensions  = metric_query.value.dimensions
        period      = 60
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "sleep" {
  count = local.to_zero ? 1 : 0

  alarm_name          = "${local.name}-sleep"
  alarm_description   = "Scaling, no cause for concern: nothing was visible or in flight for ${var.config.idle_minutes} minutes."
  comparison_operator = "LessThanOrEqualToThreshold"
  threshold           = 0
  evaluation_periods  = var.config.idle_minutes
  treat_missing_data  = "notBreaching" # a queue asleep for 6 hours reports nothing, and then no task runs
  alarm_actions       = [aws_appautoscaling_policy.sleep[0].arn]

  metric_query {
    id          = "backlog"
    expression  = "visible + in_flight"
    label       = "Messages, visible and in flight"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { for id, metric in local.metrics : id => metric if id != "running" }

    content {
      id = metric_query.key

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.name
        stat        = metric_query.value.stat
        dimensions  = metric_query.value.dimensions
        period      = 60
      }
    }
  }
}
