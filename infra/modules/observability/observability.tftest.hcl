mock_provider "aws" {
  source = "../../testing"
}

variables {
  name                = "retinue-test"
  cluster_name        = "retinue-test"
  database_identifier = "retinue-test"
  database_storage_gb = 100
  image_topic_name    = "retinue-test-images"
  key_arn             = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  pools = { labels = {
    queue_name             = "retinue-test-labels"
    dead_letter_queue_name = "retinue-test-labels-dead"
    service_name           = "retinue-test-labels"
    metric_namespace       = "Retinue/retinue-test-labels"
  } }
}

run "observability" {
  command = apply

  assert {
    condition     = aws_sns_topic.alarms[0].kms_master_key_id == var.key_arn
    error_message = "alarms must be encrypted"
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.database : alarm.alarm_actions == toset([aws_sns_topic.alarms[0].arn])])
    error_message = "every alarm must reach somebody"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.database["storage"].threshold == 4294967296
    error_message = "4 GB are 4294967296 bytes"
  }

  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 8
    error_message = "the dashboard must have four graphs for the pool, and four for the database"
  }

  assert {
    condition     = length(aws_budgets_budget.month) == 0
    error_message = "there must be no budget unless one is set"
  }
}

run "small_database" {
  command = plan

  variables {
    database_storage_gb = 20
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.database["storage"].threshold == 1073741824
    error_message = "RDS grows storage when less than 10 % are free: the alarm must come after that"
  }

  assert {
    condition     = toset([for alarm in aws_cloudwatch_metric_alarm.topic : alarm.dimensions.TopicName]) == toset(["retinue-test-images"])
    error_message = "events that SNS does not deliver must be an alarm"
  }
}

run "budget" {
  command = apply

  variables {
    monthly_budget_usd = 250
    alarm_emails       = ["ops@example.com"]
  }

  assert {
    condition     = aws_budgets_budget.month[0].limit_amount == "250" && length(aws_budgets_budget.month[0].notification) == 2
    error_message = "people must be told when the month gets dear, and before"
  }

  assert {
    condition     = length(aws_sns_topic_subscription.people) == 1
    error_message = "people must be told by e-mail"
  }
}

run "refuses_bad_input" {
  command = plan

  variables {
    alarm_emails        = ["ops"]
    database_storage_gb = 10
    monthly_budget_usd  = -1
  }

  expect_failures = [var.alarm_emails, var.database_storage_gb, var.monthly_budget_usd]
}
