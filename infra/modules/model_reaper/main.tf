# Runs `retinue models reap` on a schedule: it stops Custom Labels models that run without work,
# whatever became of the workers that started them.

data "aws_caller_identity" "current" {}

module "task" {
  source = "../task"

  name               = "${var.name}/model-reaper"
  image              = var.image
  repository_arn     = var.repository_arn
  command            = concat(["models", "reap"], flatten([for arn in var.project_arns : ["--models", arn]]))
  key_arn            = var.key_arn
  log_retention_days = var.log_retention_days

  environment = {
    RETINUE_DATABASE_URL  = var.database.url
    RETINUE_DATABASE_AUTH = "iam"
  }
}

resource "aws_iam_role_policy" "task" {
  name = "stop-models"
  role = module.task.task_role.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "StopModels"
        Effect   = "Allow"
        Action   = ["rekognition:DescribeProjectVersions", "rekognition:StopProjectVersion"]
        Resource = var.project_arns
      },
      {
        Sid      = "FindProjects"
        Effect   = "Allow"
        Action   = ["rekognition:DescribeProjects"]
        Resource = ["*"] # AWS knows no resource for it
      },
      {
        Sid      = "SignInToTheDatabase"
        Effect   = "Allow"
        Action   = ["rds-db:connect"]
        Resource = [var.database.login_arn]
      },
    ]
  })
}

resource "aws_scheduler_schedule" "this" {
  name                = "${var.name}-model-reaper"
  description         = "Stops models that run without work"
  schedule_expression = "rate(${var.every_minutes} minutes)"
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
      maximum_event_age_in_seconds = 300
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
