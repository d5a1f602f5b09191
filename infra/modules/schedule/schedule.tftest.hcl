mock_provider "aws" {
  source = "../../testing"
}

variables {
  purpose         = "maintenance"
  description     = "Creates the coming months"
  expression      = "rate(1 day)"
  overdue_hours   = 49
  last_line       = "maintenance: done"
  alarm_topic_arn = "arn:aws:sns:eu-west-1:123456789012:retinue-test-alarms"

  task = {
    name_prefix = "retinue-test"
    image       = "retinue:1.0.0"
    cluster     = { arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/retinue-test", name = "retinue-test" }
    network     = { subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
    key_arn     = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  }

  definition = {
    arn                = "arn:aws:ecs:eu-west-1:123456789012:task-definition/retinue-test-maintenance:1"
    role_arn           = "arn:aws:iam::123456789012:role/retinue-test-task"
    execution_role_arn = "arn:aws:iam::123456789012:role/retinue-test-exec"
    log_group_name     = "/retinue-test/maintenance"
  }
}

run "schedule" {
  command = apply

  assert {
    condition     = aws_scheduler_schedule.this.schedule_expression == "rate(1 day)" && !aws_scheduler_schedule.this.target[0].ecs_parameters[0].network_configuration[0].assign_public_ip
    error_message = "it must run when it is told to, in private"
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_role_policy.scheduler.policy).Statement : !contains(statement.Resource, "*")])
    error_message = "the scheduler may run this task, and nothing else"
  }

  assert {
    condition = (
      jsondecode(aws_iam_role.scheduler.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceArn"]
      == "arn:aws:scheduler:eu-west-1:123456789012:schedule-group/default"
    )
    error_message = "only schedules of this account and region may take the role"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.overdue.treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.overdue.alarm_actions == toset([var.alarm_topic_arn])
    error_message = "a task that says nothing at all is overdue, and people must be told"
  }
}

run "refuses_bad_input" {
  command = plan

  variables {
    purpose       = "X"
    description   = "short"
    expression    = "daily"
    overdue_hours = 0.5
    last_line     = "\""
  }

  expect_failures = [var.purpose, var.description, var.expression, var.overdue_hours, var.last_line]
}
