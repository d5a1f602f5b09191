# Keeps the wanted number of tasks running, and replaces them one deployment after the other.

locals {
  spot = floor(var.config.spot_share * 100)

  capacity = var.config.gpu ? { (coalesce(var.gpu_capacity_provider, "missing")) = 100 } : {
    for provider, weight in { FARGATE = 100 - local.spot, FARGATE_SPOT = local.spot } :
    provider => weight if weight > 0
  }
}

resource "aws_ecs_service" "this" {
  name            = local.name
  cluster         = var.task.cluster.arn
  task_definition = module.task.definition.arn
  desired_count   = var.config.min
  propagate_tags  = "SERVICE"

  # Without it, a change of the capacity providers replaces the service.
  force_new_deployment = true

  enable_execute_command = false

  # There are no more instances with a GPU than tasks, so a new task gets the instance of one that ended.
  deployment_minimum_healthy_percent = var.config.gpu ? 0 : 100
  deployment_maximum_percent         = var.config.gpu ? 100 : 200

  dynamic "capacity_provider_strategy" {
    for_each = local.capacity

    content {
      capacity_provider = capacity_provider_strategy.key
      weight            = capacity_provider_strategy.value
    }
  }

  network_configuration {
    subnets          = var.task.network.subnet_ids
    security_groups  = [var.task.network.security_group_id]
    assign_public_ip = var.task.network.assign_public_ip
  }

  # A version that does not start is taken back.
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  lifecycle {
    ignore_changes = [desired_count] # the backlog's affair, from here on
  }

  # A worker that starts without its permissions would stop receiving until they arrive.
  depends_on = [aws_iam_role_policy.task]
}
