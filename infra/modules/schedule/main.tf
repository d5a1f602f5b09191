# Runs a task on a schedule. An alarm goes off if the task has not finished for too long, for any
# cause: a missing image, a role, an unreachable database, a bug.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  name = "${var.task.name_prefix}-${var.purpose}"
}

resource "aws_scheduler_schedule" "this" {
  name                = local.name
  description         = var.description
  schedule_expression = var.expression
  kms_key_arn         = var.task.key_arn

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = var.task.cluster.arn
    role_arn = aws_iam_role.scheduler.arn

    ecs_parameters {
      task_definition_arn = var.definition.arn
      launch_type         = "FARGATE"
      task_count          = 1

      network_configuration {
        assign_public_ip = var.task.network.assign_public_ip
        subnets          = var.task.network.subnet_ids
        security_groups  = [var.task.network.security_group_id]
      }
    }

    retry_policy {
      maximum_event_age_in_seconds = 300
      maximum_retry_attempts       = 3
    }
  }
}

resource "aws_iam_role" "scheduler" {
  name_prefix          = "${substr(var.task.name_prefix, 0, 25)}-sched-"
  permissions_boundary = var.task.boundary_arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = {
        "aws:SourceAccount" = data.aws_caller_identity.current.account_id
        "aws:SourceArn" = join(":", [
          "arn", data.aws_partition.current.partition, "scheduler", data.aws_region.current.id,
          data.aws_caller_identity.current.account_id, "schedule-group/default",
        ])
      } }
    }]
  })
}

resource "aws_iam_role_policy" "scheduler" {
  name = "run-the-task"
  role = aws_iam_role.scheduler.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RunTheTask"
        Effect    = "Allow"
        Action    = ["ecs:RunTask"]
        Resource  = [var.definition.arn]
        Condition = { ArnEquals = { "ecs:cluster" = var.task.cluster.arn } }
      },
      {
        Sid       = "GiveItItsRoles"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = [var.definition.role_arn, var.definition.execution_role_arn]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
      {
        Sid      = "DecryptTheSchedule"
        Effect   = "Allow"
        Action   = ["kms:Decrypt"]
        Resource = [var.task.key_arn]
      },
    ]
  })
}

resource "aws_cloudwatch_log_metric_filter" "finished" {
  name           = "finished"
  log_group_name = var.definition.log_group_name
  pattern        = "\"${var.last_line}\""

  metric_transformation {
    namespace = "Retinue/${local.name}"
    name      = "finished"
    value     = "1"
    unit      = "Count"
  }
}

resource "aws_cloudwatch_metric_alarm" "overdue" {
  alarm_name          = "${var.task.name_prefix}-${var.purpose}-overdue"
  alarm_description   = "The task has not finished for ${var.overdue_hours} hours. Its log, or else EventBridge Scheduler and ECS, say why. In a new environment: it has not run yet."
  namespace           = aws_cloudwatch_log_metric_filter.finished.metric_transformation[0].namespace
  metric_name         = aws_cloudwatch_log_metric_filter.finished.metric_transformation[0].name
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = var.overdue_hours
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}
