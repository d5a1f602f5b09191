# An ECS task definition with its two roles and its log group. Pools, migrations, maintenance and the
# reaper use it. The task role has no permissions; the caller adds them.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  name     = "${var.task.name_prefix}/${var.purpose}"
  region   = data.aws_region.current.id
  launcher = var.gpu_count > 0 ? "EC2" : "FARGATE"

  container = merge(
    {
      name                   = "retinue"
      image                  = var.task.image
      command                = var.command
      essential              = true
      memory                 = var.memory # the container's limit, which its processes can read
      user                   = var.user
      readonlyRootFilesystem = true
      privileged             = false
      stopTimeout            = var.stop_timeout_seconds
      environment = [for key in sort(keys(local.environment)) : {
        name  = key
        value = local.environment[key]
      }]
      secrets = [for key in sort(keys(var.secrets)) : {
        name      = key
        valueFrom = var.secrets[key]
      }]
      mountPoints = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
      linuxParameters = {
        initProcessEnabled = true # passes SIGTERM on, and reaps
        capabilities       = { drop = ["ALL"] }
      }
      logConfiguration = {
        logDriver = "awslogs"
        # A slow log must not hold up workers, so lines that it can't take yet are lost.
        options = { for name, value in {
          "awslogs-group"         = aws_cloudwatch_log_group.this.name
          "awslogs-region"        = local.region
          "awslogs-stream-prefix" = "task"
          "mode"                  = var.loses_no_output ? "blocking" : "non-blocking"
          "max-buffer-size"       = var.loses_no_output ? null : "8m"
        } : name => value if value != null }
      }
    },
    var.health_port != null ? {
      # ECS replaces a task that fails it; a worker that waits for AWS or the database passes.
      healthCheck = {
        command     = ["CMD", "python", "-m", "retinue_workers.ops.health", tostring(var.health_port)]
        interval    = 30
        timeout     = 10
        retries     = 3
        startPeriod = 120
      }
    } : {},
    var.gpu_count > 0 ? {
      resourceRequirements = [{ type = "GPU", value = tostring(var.gpu_count) }]
    } : {},
  )

  # AWS_REGION comes with Fargate but not with every EC2 instance.
  environment = merge({ AWS_REGION = local.region, TMPDIR = "/tmp" }, var.environment)
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${local.name}"
  retention_in_days = var.task.log_retention_days
  kms_key_id        = var.task.key_arn
}

resource "aws_ecs_task_definition" "this" {
  family                   = replace(local.name, "/", "-")
  requires_compatibilities = [local.launcher]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode([local.container])

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.task.arm64 ? "ARM64" : "X86_64"
  }

  volume {
    name = "tmp"
  }
}
