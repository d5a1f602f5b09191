# Runs `retinue models reap` on a schedule: it stops Custom Labels models that run without work,
# even if the workers that started them are gone.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.id
}

module "task" {
  source = "../task"

  task    = var.task
  purpose = "model-reaper"
  command = concat(["models", "reap"], flatten([for arn in var.project_arns : ["--models", arn]]))

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
        Action   = ["rekognition:StopProjectVersion"]
        Resource = var.project_arns
      },
      {
        # Versions tell whether they match, so it looks at every project's; being refused one would
        # end the search.
        Sid      = "LookAtModels"
        Effect   = "Allow"
        Action   = ["rekognition:DescribeProjectVersions"]
        Resource = [join(":", ["arn", local.partition, "rekognition", local.region, local.account_id, "project/*"])]
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

module "schedule" {
  source = "../schedule"

  task            = var.task
  purpose         = "model-reaper"
  description     = "Stops models that run without work"
  expression      = "rate(${var.every_minutes} minutes)"
  overdue_hours   = 2
  last_line       = "models looked at"
  definition      = module.task.definition
  alarm_topic_arn = var.alarm_topic_arn
}

# Workers stop their models themselves. One that the reaper had to stop, or could not look at, cost
# money for nothing; its worker died, or an operator started the model by hand.
resource "aws_cloudwatch_log_metric_filter" "idle" {
  name           = "idle_models"
  log_group_name = module.task.log_group_name
  pattern        = "?\"stopped: \" ?\"failed: \""

  metric_transformation {
    namespace = "Retinue/${module.schedule.name}"
    name      = "idle_models"
    value     = "1"
    unit      = "Count"
  }
}

resource "aws_cloudwatch_metric_alarm" "idle" {
  alarm_name          = "${var.task.name_prefix}-idle-model"
  alarm_description   = "A Custom Labels model ran although no worker controlled it: about $4 an hour. The reaper's log says whether it could stop it."
  namespace           = aws_cloudwatch_log_metric_filter.idle.metric_transformation[0].namespace
  metric_name         = aws_cloudwatch_log_metric_filter.idle.metric_transformation[0].name
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
}
