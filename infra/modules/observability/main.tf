# One topic for everything that needs a person, alarms of the database and the bill, and a
# dashboard. Each pool brings its own alarms.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

resource "aws_sns_topic" "alarms" {
  count = var.existing_topic_arn == null ? 1 : 0

  name              = "${var.name}-alarms"
  kms_master_key_id = var.key_arn
}

resource "aws_sns_topic_policy" "alarms" {
  count = var.existing_topic_arn == null ? 1 : 0

  arn = local.topic_arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsAndBudgetsPublish"
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }
        Action    = "sns:Publish"
        Resource  = local.topic_arn
        Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
      },
      {
        Sid       = "OnlyByTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = local.topic_arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

# AWS sends each address a link to confirm.
resource "aws_sns_topic_subscription" "people" {
  for_each = var.alarm_emails

  topic_arn = local.topic_arn
  protocol  = "email"
  endpoint  = each.key
}

locals {
  topic_arn = var.existing_topic_arn != null ? var.existing_topic_arn : aws_sns_topic.alarms[0].arn

  alarm_free_storage_gb = min(4, var.database_storage_gb / 20)

  # S3's events that SNS could not deliver. Queues of pools keep the last kind as dead letters.
  topic_alarms = {
    undelivered = {
      metric      = "NumberOfNotificationsFailed"
      description = "SNS could not deliver events of images: are the policies of the queue and of the key right?"
    }
    unreadable = {
      metric      = "NumberOfNotificationsFilteredOut-InvalidMessageBody"
      description = "SNS could not read events of images for the pools' filters: has the bucket's notification another format?"
    }
    lost = {
      metric      = "NumberOfNotificationsFailedToRedriveToDlq"
      description = "SNS has lost events of images, because it could not leave them in a dead-letter queue. Restore its policy, then use `retinue backfill`."
    }
  }

  database_alarms = {
    storage = {
      description = "Less than ${local.alarm_free_storage_gb} GB is free, although storage grows by itself: is it at its maximum?"
      metric      = "FreeStorageSpace"
      comparison  = "LessThanThreshold"
      threshold   = local.alarm_free_storage_gb * 1024 * 1024 * 1024
    }
    cpu = {
      description = "The processor has been over 80 % busy for 15 minutes, or the instance is down. Performance Insights shows the statements, RDS its events."
      metric      = "CPUUtilization"
      comparison  = "GreaterThanThreshold"
      threshold   = 80
    }
    memory = {
      description = "Less than 128 MB of memory is free: too many connections, or too small an instance."
      metric      = "FreeableMemory"
      comparison  = "LessThanThreshold"
      threshold   = 128 * 1024 * 1024
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "database" {
  for_each = { for name, alarm in local.database_alarms : name => alarm if var.database_identifier != null }

  alarm_name          = "${var.name}-database-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/RDS"
  metric_name         = each.value.metric
  dimensions          = { DBInstanceIdentifier = var.database_identifier }
  statistic           = "Average"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.key == "cpu" ? "breaching" : "missing" # no metric: the instance is down
  alarm_actions       = [local.topic_arn]
  ok_actions          = [local.topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "topic" {
  for_each = { for name, alarm in local.topic_alarms : name => alarm if var.image_topic_name != null }

  alarm_name          = "${var.name}-events-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/SNS"
  metric_name         = each.value.metric
  dimensions          = { TopicName = var.image_topic_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [local.topic_arn]
  ok_actions          = [local.topic_arn]
}

# Of the whole account: a budget by tag stays at zero until an administrator activates the tag for billing.
resource "aws_budgets_budget" "month" {
  count = var.monthly_budget_usd == null ? 0 : 1

  name         = "${var.name}-month"
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_unit   = "USD"
  limit_amount = tostring(var.monthly_budget_usd)

  notification {
    comparison_operator       = "GREATER_THAN"
    threshold                 = 80
    threshold_type            = "PERCENTAGE"
    notification_type         = "ACTUAL"
    subscriber_sns_topic_arns = [local.topic_arn]
  }

  notification {
    comparison_operator       = "GREATER_THAN"
    threshold                 = 100
    threshold_type            = "PERCENTAGE"
    notification_type         = "FORECASTED"
    subscriber_sns_topic_arns = [local.topic_arn]
  }

  depends_on = [aws_sns_topic_policy.alarms]
}
