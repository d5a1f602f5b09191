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

  database = {
    url        = "postgresql://host:5432/retinue?sslmode=verify-full"
    secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-0-abcdef"
  }
  bucket_arns     = ["arn:aws:s3:::retinue-test-images"]
  alarm_topic_arn = "arn:aws:sns:eu-west-1:123456789012:retinue-test-alarms"
}

run "once_a_day" {
  command = apply

  assert {
    condition     = module.schedule.expression == "cron(0 5 * * ? *)"
    error_message = "it must run once a day"
  }
}

run "writes_the_archive" {
  command = apply

  variables {
    archive = {
      uri = "s3://archive"
      write_statements = [
        { Sid = "A", Effect = "Allow", Action = ["s3:PutObject"], Resource = ["arn:aws:s3:::archive/*"] },
        { Sid = "B", Effect = "Allow", Action = ["kms:Decrypt"], Resource = ["*"], Condition = { StringLike = { a = "b" } } },
      ]
    }
  }

  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.archive[0].policy).Statement : join(" ", keys(statement))] == ["Action Effect Resource Sid", "Action Condition Effect Resource Sid"]
    error_message = "IAM refuses a Condition that is null"
  }
}

run "refuses_bad_input" {
  command = plan

  variables {
    retention   = { detections_months = 0 }
    at          = { hour = 24, minute = 0 }
    bucket_arns = ["arn:aws:s3:::retinue-test-images/*"]
  }

  expect_failures = [var.retention, var.at, var.bucket_arns]
}
