mock_provider "aws" {
  source = "../../testing"
}

variables {
  name        = "retinue-test"
  image       = "retinue:1.0.0"
  cluster_arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/retinue-test"
  network     = { subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
  database = {
    url        = "postgresql://host:5432/retinue?sslmode=verify-full"
    secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-0-abcdef"
  }
  key_arn = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "once_a_day_in_private" {
  command = apply

  assert {
    condition     = aws_scheduler_schedule.this.schedule_expression == "cron(30 3 * * ? *)" && !aws_scheduler_schedule.this.target[0].ecs_parameters[0].network_configuration[0].assign_public_ip
    error_message = "it must run once a day, in private"
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_role_policy.scheduler.policy).Statement : !contains(statement.Resource, "*")])
    error_message = "the scheduler may run this task, and nothing else"
  }
}

run "refuses_bad_input" {
  command = plan

  variables {
    keep = { detections_months = 0 }
    at   = { hour = 24, minute = 0 }
  }

  expect_failures = [var.keep, var.at]
}
