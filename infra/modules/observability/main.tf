# One topic for everything that needs a person, alarms of the database, the bill and AWS's events, and
# a dashboard. Each pool brings its own alarms.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
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
        # "You can't use Condition blocks in Amazon SNS topic policies for EventBridge" (EventBridge User Guide,
        # Using resource-based policies).
        Sid       = "EventsPublish"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = local.topic_arn
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
    disk = {
      description = "More than 10 reads and writes have waited for the disk for 15 minutes. Performance Insights shows the statements."
      metric      = "DiskQueueDepth"
      comparison  = "GreaterThanThreshold"
      threshold   = 10
    }
    credits = {
      description = "The instance class is burstable, and its CPU credits have been nearly used up for 6 hours. RDS bills what it uses beyond them."
      metric      = "CPUCreditBalance"
      comparison  = "LessThanThreshold"
      threshold   = 20
    }
  }

  # AWS's events that need a person.
  events = {
    deployment-failed = {
      description = "A deployment of a service of ${var.name} failed, and ECS took it back"
      pattern = {
        source      = ["aws.ecs"]
        detail-type = ["ECS Deployment State Change"]
        resources   = [{ prefix = "arn:${data.aws_partition.current.partition}:ecs:${local.region}:${data.aws_caller_identity.current.account_id}:service/${var.cluster_name}/${var.name}-" }]
        detail      = { eventName = ["SERVICE_DEPLOYMENT_FAILED"] }
      }
    }
    key-deletion = {
      description = "The key of ${var.name} was disabled, or is scheduled for deletion. CloudTrail reports it, if it has a trail"
      pattern = {
        source      = ["aws.kms"]
        detail-type = ["AWS API Call via CloudTrail"]
        detail = {
          eventName = ["DisableKey", "ScheduleKeyDeletion"]
          resources = { ARN = [var.key_arn] }
        }
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "database" {
  for_each = { for name, alarm in local.database_alarms : name => alarm if var.database_identifier != null && (name != "credits" || startswith(coalesce(var.database_instance_class, "-"), "db.t")) }

  alarm_name          = "${var.name}-database-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/RDS"
  metric_name         = each.value.metric
  dimensions          = { DBInstanceIdentifier = var.database_identifier }
  statistic           = "Average"
  period              = 300
  evaluation_periods  = each.key == "credits" ? 72 : 3 # a new instance has none, and earns 20 in a few hours
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.key == "cpu" ? "breaching" : "missing" # no metric: the instance is down
  alarm_actions       = [local.topic_arn]
  ok_actions          = [local.topic_arn]
}

# PostgreSQL's own messages, because its limit of connections depends on the instance class.
resource "aws_cloudwatch_log_metric_filter" "refused_connections" {
  count = var.database_identifier == null ? 0 : 1

  name           = "refused_connections"
  log_group_name = "/aws/rds/instance/${var.database_identifier}/postgresql"
  pattern        = "?\"remaining connection slots are reserved\" ?\"sorry, too many clients already\""

  metric_transformation {
    namespace     = "Retinue/${var.name}"
    name          = "refused_connections"
    value         = "1"
    default_value = "0"
    unit          = "Count"
  }
}

resource "aws_cloudwatch_metric_alarm" "connections" {
  count = var.database_identifier == null ? 0 : 1

  alarm_name          = "${var.name}-database-connections"
  alarm_description   = "The database refused a connection, because it has too many. pg_stat_activity shows whose they are."
  namespace           = "Retinue/${var.name}"
  metric_name         = aws_cloudwatch_log_metric_filter.refused_connections[0].name
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [local.topic_arn]
  ok_actions          = [local.topic_arn]
}

resource "aws_cloudwatch_event_rule" "this" {
  for_each = local.events

  name          = "${var.name}-${each.key}"
  description   = each.value.description
  event_pattern = jsonencode(each.value.pattern)
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = local.events

  rule = aws_cloudwatch_event_rule.this[each.key].name
  arn  = local.topic_arn
}

# The alarms' topic takes alarms by other rights than events, so an alarm can say that events are missing.
resource "aws_cloudwatch_metric_alarm" "unannounced" {
  alarm_name          = "${var.name}-unannounced"
  alarm_description   = "EventBridge could not publish that a deployment failed, or that the key is to be deleted: does the topic's policy, or its key's, let EventBridge publish without conditions?"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [local.topic_arn]

  metric_query {
    id          = "failed"
    expression  = "SUM([${join(", ", [for name in keys(local.events) : "FILL(${replace(name, "-", "_")}, 0)"])}])"
    label       = "Events that could not be published"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = local.events

    content {
      id = replace(metric_query.key, "-", "_")

      metric {
        namespace   = "AWS/Events"
        metric_name = "FailedInvocations"
        dimensions  = { RuleName = aws_cloudwatch_event_rule.this[metric_query.key].name }
        stat        = "Sum"
        period      = 300
      }
    }
  }
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

  name         = "${var.name}-month-${local.region}" # budgets are of the account, in all regions
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
