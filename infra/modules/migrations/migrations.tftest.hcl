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
  analyst = {
    url       = "postgresql://retinue_analyst@host:5432/retinue?sslmode=verify-full"
    login_arn = "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-ABCDEFGHIJ/retinue_analyst"
  }
}

run "migrations" {
  command = apply

  assert {
    condition     = jsondecode(output.run).networkConfiguration.awsvpcConfiguration.assignPublicIp == "DISABLED"
    error_message = "the task must stay private"
  }

  assert {
    condition     = jsondecode(output.run).taskDefinition == "arn:aws:ecs:eu-west-1:123456789012:task-definition/retinue-test:1"
    error_message = "the task must run this revision"
  }
}

run "collections" {
  command = apply

  variables {
    collection_ids = ["staff"]
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.task.policy).Statement[1].Resource == ["arn:aws:rekognition:eu-west-1:123456789012:collection/staff"]
    error_message = "the owner must be able to forget people in the pools' collections, and in no others"
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
      StopModels   = [["rekognition:StopProjectVersion"], ["arn:aws:rekognition:eu-west-1:123456789012:project/birds/version/v1/1700000000000"]]
    }
    error_message = "the owner must be able to stop the pools' models, and no others"
  }
}

run "refuses_every_model" {
  command = plan

  variables {
    model_arns = ["arn:aws:rekognition:eu-west-1:123456789012:project/*"]
  }

  expect_failures = [var.model_arns]
}

run "refuses_a_connection_in_the_clear" {
  command = plan

  variables {
    database = { url = "postgresql://host:5432/retinue", secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x-abcdef" }
  }

  expect_failures = [var.database]
}

run "refuses_an_analyst_of_every_database" {
  command = plan

  variables {
    analyst = { url = "postgresql://host:5432/retinue", login_arn = "arn:aws:rds-db:eu-west-1:123456789012:dbuser:*/*" }
  }

  expect_failures = [var.analyst]
}
