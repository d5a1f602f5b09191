mock_provider "aws" {
  source = "../../testing"
}

variables {
  task = {
    name_prefix = "retinue-test"
    image       = "retinue:1.0.0"
    cluster     = { arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/retinue-test", name = "retinue-test" }
    network     = { subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
    key_arn     = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  }

  project_arns = ["arn:aws:rekognition:eu-west-1:123456789012:project/birds/*"]
  database = {
    url       = "postgresql://host:5432/retinue?sslmode=verify-full"
    login_arn = "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-ABCDEFGHIJ/retinue_worker"
  }
  alarm_topic_arn = "arn:aws:sns:eu-west-1:123456789012:retinue-test-alarms"
}

run "reaper" {
  command = apply

  assert {
    condition     = jsondecode(aws_iam_role_policy.task.policy).Statement[0].Resource[0] == var.project_arns[0]
    error_message = "it may stop the models it was given, and no others"
  }

  assert {
    condition     = module.schedule.expression == "rate(15 minutes)"
    error_message = "it must run every quarter of an hour"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle.alarm_actions == toset([var.alarm_topic_arn])
    error_message = "people must be told of a model that ran for nothing"
  }
}

run "refuses_bad_input" {
  command = plan

  variables {
    project_arns  = ["birds"]
    every_minutes = 1440
  }

  expect_failures = [var.project_arns, var.every_minutes]
}
