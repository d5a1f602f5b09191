mock_provider "aws" {
  source = "../../testing"
}

variables {
  purpose     = "labels"
  command     = ["worker"]
  environment = { RETINUE_LOG_FORMAT = "json" }
  secrets     = { PGPASSWORD = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-0-abcdef:password::" }

  task = {
    name_prefix    = "retinue-test"
    image          = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/retinue:1.0.0"
    repository_arn = "arn:aws:ecr:eu-west-1:123456789012:repository/retinue"
    cluster        = { arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/retinue-test", name = "retinue-test" }
    network        = { subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
    key_arn        = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  }
}

run "task" {
  command = apply

  assert {
    condition = alltrue([for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : alltrue([
      container.readonlyRootFilesystem, !container.privileged, !startswith(container.user, "0"),
      container.linuxParameters.capabilities.drop == ["ALL"], container.linuxParameters.initProcessEnabled,
    ])])
    error_message = "the container must not run as root, write to its root, or have a capability"
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].memory == tonumber(aws_ecs_task_definition.this.memory)
    error_message = "the container's processes must be able to read how much memory they have"
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].secrets[0].valueFrom == var.secrets.PGPASSWORD
    error_message = "secrets must be references"
  }

  assert {
    condition     = aws_ecs_task_definition.this.network_mode == "awsvpc" && aws_ecs_task_definition.this.requires_compatibilities == toset(["FARGATE"])
    error_message = "the task must run on Fargate with a network interface of its own"
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.kms_key_id == var.task.key_arn && aws_cloudwatch_log_group.this.retention_in_days == 30
    error_message = "the log must be encrypted, and end some day"
  }

  assert {
    condition = alltrue([for statement in jsondecode(aws_iam_role_policy.execution.policy).Statement :
      !contains(statement.Resource, "*") || statement.Action == ["ecr:GetAuthorizationToken"]
    ])
    error_message = "ECS may do nothing everywhere but sign in to ECR"
  }

  assert {
    condition = contains(flatten([for statement in jsondecode(aws_iam_role_policy.execution.policy).Statement :
      statement.Resource if contains(statement.Action, "secretsmanager:GetSecretValue")
    ]), "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-0-abcdef")
    error_message = "ECS must be able to read the secret, and only it"
  }

  assert {
    condition     = jsondecode(aws_iam_role.task.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    error_message = "only tasks of this account may take the role"
  }
}

run "gpu" {
  command = apply

  variables {
    gpu_count            = 1
    stop_timeout_seconds = 600
    task                 = merge(var.task, { repository_arn = null })
    secrets              = {}
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].resourceRequirements == [{ type = "GPU", value = "1" }]
    error_message = "the task must ask for a GPU"
  }

  assert {
    condition     = length(jsondecode(aws_iam_role_policy.execution.policy).Statement) == 1
    error_message = "without a repository and secrets, ECS may only log"
  }
}

run "refuses_bad_input" {
  command = plan

  variables {
    purpose              = "Labels"
    command              = []
    user                 = "0:0"
    stop_timeout_seconds = 121
    gpu_count            = 0
    environment          = { RETINUE_DATABASE_URL = "postgresql://owner:secret@host/retinue" }
  }

  expect_failures = [
    var.purpose, var.command, var.user, var.stop_timeout_seconds, var.environment,
  ]
}

run "refuses_the_tag_latest" {
  command = plan

  variables {
    task = merge(var.task, { image = "retinue:latest" })
  }

  expect_failures = [var.task]
}

run "refuses_another_services_repository" {
  command = plan

  variables {
    task = merge(var.task, { repository_arn = "retinue" })
  }

  expect_failures = [var.task]
}

run "refuses_a_bad_name" {
  command = plan

  variables {
    task = merge(var.task, { name_prefix = "Retinue/dev" })
  }

  expect_failures = [var.task]
}

run "refuses_a_cluster_without_an_arn" {
  command = plan

  variables {
    task = merge(var.task, { cluster = { arn = "retinue-test", name = "retinue-test" } })
  }

  expect_failures = [var.task]
}

run "refuses_no_subnets" {
  command = plan

  variables {
    task = merge(var.task, { network = { subnet_ids = [], security_group_id = "sg-1" } })
  }

  expect_failures = [var.task]
}

run "refuses_a_key_without_an_arn" {
  command = plan

  variables {
    task = merge(var.task, { key_arn = "alias/retinue" })
  }

  expect_failures = [var.task]
}

run "refuses_a_retention_that_cloudwatch_lacks" {
  command = plan

  variables {
    task = merge(var.task, { log_retention_days = 31 })
  }

  expect_failures = [var.task]
}
