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
    condition     = toset(keys(aws_cloudwatch_metric_alarm.database)) == toset(["cpu", "disk", "memory", "storage"])
    error_message = "an instance class that isn't burstable has no credits"
  }

  assert {
    condition     = alltrue([for target in aws_cloudwatch_event_target.this : target.arn == aws_sns_topic.alarms[0].arn]) && jsondecode(aws_sns_topic_policy.alarms[0].policy).Statement[1].Principal.Service == "events.amazonaws.com" && !can(jsondecode(aws_sns_topic_policy.alarms[0].policy).Statement[1].Condition)
    error_message = "EventBridge must be able to publish AWS's events"
  }

  assert {
    condition     = toset(flatten([for query in aws_cloudwatch_metric_alarm.unannounced.metric_query : query.metric[*].dimensions.RuleName])) == toset([for rule in aws_cloudwatch_event_rule.this : rule.name])
    error_message = "events that EventBridge can't publish must be an alarm"
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

run "burstable_database" {
  command = plan

  variables {
    database_instance_class = "db.t4g.small"
  }

  assert {
    condition     = contains(keys(aws_cloudwatch_metric_alarm.database), "credits")
    error_message = "a burstable instance class must have an alarm of its credits"
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["key-deletion"].event_pattern).detail.resources.ARN == [var.key_arn]
    error_message = "only the deletion of this key needs a person"
  }

  assert {
    condition     = endswith(jsondecode(aws_cloudwatch_event_rule.this["deployment-failed"].event_pattern).resources[0].prefix, ":service/retinue-test/retinue-test-")
    error_message = "only failed deployments of this environment need a person"
  }
}

run "no_database" {
  command = plan

  variables {
    database_identifier = null
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.database) + length(aws_cloudwatch_metric_alarm.connections) == 0
    error_message = "an existing database belongs to its owner"
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
    condition     = aws_budgets_budget.month[0].name == "retinue-test-month-eu-west-1"
    error_message = "the same environment in another region must be able to have a budget"
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
