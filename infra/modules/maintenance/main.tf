# Runs `retinue maintain` once a day, as the tables' owner: the partitions of the coming months are
# made, and what is past its time is dropped. Nobody else drops anything.

data "aws_caller_identity" "current" {}

module "task" {
  source = "../task"

  name               = "${var.name}/maintenance"
  image              = var.image
  repository_arn     = var.repository_arn
  command            = ["maintain"]
  key_arn            = var.key_arn
  log_retention_days = var.log_retention_days

  # What is kept for ever is not set.
  environment = merge(
    { RETINUE_DATABASE_URL = var.database.url },
    { for name, value in {
      RETINUE_KEEP_DETECTIONS_MONTHS   = var.keep.detections_months
      RETINUE_KEEP_RAW_RESPONSES_DAYS  = var.keep.raw_responses_days
      RETINUE_KEEP_DELETED_IMAGES_DAYS = var.keep.deleted_images_days
    } : name => tostring(value) if value != null },
  )
  secrets = {
    PGUSER     = "${var.database.secret_arn}:username::"
    PGPASSWORD = "${var.database.secret_arn}:password::"
  }
}

resource "aws_scheduler_schedule" "this" {
  name                = "${var.name}-maintenance"
  description         = "Makes the coming months, and drops what is past its time"
  schedule_expression = "cron(${var.at.minute} ${var.at.hour} * * ? *)"
  kms_key_arn         = var.key_arn

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = var.cluster_arn
    role_arn = aws_iam_role.scheduler.arn

    ecs_parameters {
      task_definition_arn = module.task.definition_arn
      launch_type         = "FARGATE"
      task_count          = 1

      network_configuration {
        assign_public_ip = false
        subnets          = var.network.subnet_ids
        security_groups  = [var.network.security_group_id]
      }
    }

    retry_policy {
      maximum_event_age_in_seconds = 3600
      maximum_retry_attempts       = 3
    }
  }
}

resource "aws_iam_role" "scheduler" {
  name_prefix = "${substr(var.name, 0, 25)}-sched-"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
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
        Resource  = [module.task.definition_arn]
        Condition = { ArnEquals = { "ecs:cluster" = var.cluster_arn } }
      },
      {
        Sid       = "GiveItItsRoles"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = [module.task.task_role.arn, module.task.execution_role_arn]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
      {
        Sid      = "DecryptTheSchedule"
        Effect   = "Allow"
        Action   = ["kms:Decrypt"]
        Resource = [var.key_arn]
      },
    ]
  })
}
