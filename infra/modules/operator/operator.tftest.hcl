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

  analyst = {
    url       = "postgresql://retinue_analyst@host:5432/retinue?sslmode=verify-full"
    login_arn = "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-ABCDEFGHIJ/retinue_analyst"
  }

  bucket_arns            = ["arn:aws:s3:::retinue-test-images"]
  queue_arns             = ["arn:aws:sqs:eu-west-1:123456789012:retinue-test-labels"]
  dead_letter_queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:retinue-test-labels-dead"]
}

run "operator" {
  command = apply

  assert {
    condition     = jsondecode(output.run).networkConfiguration.awsvpcConfiguration.assignPublicIp == "DISABLED"
    error_message = "the task must stay private"
  }

  assert {
    condition = alltrue([for statement in jsondecode(aws_iam_role_policy.task.policy).Statement :
      !contains(statement.Resource, "*") && !contains(statement.Action, "s3:GetObject")
    ])
    error_message = "an operator's task moves messages and sees no image"
  }
}

run "models" {
  command = apply

  variables {
    model_arns = ["arn:aws:rekognition:eu-west-1:123456789012:project/birds/version/v1/1700000000000"]
  }

  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.task.policy).Statement : statement.Sid => [statement.Action, statement.Resource] if strcontains(statement.Action[0], "rekognition") } == {
      FindProjects = [["rekognition:DescribeProjects"], ["*"]]
      LookAtModels = [["rekognition:DescribeProjectVersions"], ["arn:aws:rekognition:eu-west-1:123456789012:project/birds/*"]]
    }
    error_message = "an operator looks at the pools' models, and at no others"
  }
}

run "refuses_every_model" {
  command = plan

  variables {
    model_arns = ["arn:aws:rekognition:eu-west-1:123456789012:project/*"]
  }

  expect_failures = [var.model_arns]
}

run "refuses_every_queue" {
  command = plan

  variables {
    queue_arns             = ["arn:aws:sqs:eu-west-1:123456789012:*"]
    dead_letter_queue_arns = []
  }

  expect_failures = [var.queue_arns, var.dead_letter_queue_arns]
}

run "refuses_an_analyst_of_every_database" {
  command = plan

  variables {
    analyst = { url = "postgresql://host:5432/retinue", login_arn = "arn:aws:rds-db:eu-west-1:123456789012:dbuser:*/*" }
  }

  expect_failures = [var.analyst]
}
