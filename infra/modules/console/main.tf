# The web console: tasks behind an internal load balancer, which ends TLS. People sign in at an OpenID
# provider, through the console itself or (with `alb`) through the load balancer.

data "aws_region" "current" {}

locals {
  name = "${var.task.name_prefix}-console"
  port = 8600

  # The client's secret stays in Secrets Manager, unless the load balancer needs it.
  secrets = var.config.alb == null ? { RETINUE_CONSOLE_OIDC_CLIENT_SECRET = var.config.oidc.client_secret_arn } : {}

  environment = merge(
    { for name, value in var.config.settings : "RETINUE_CONSOLE_${upper(name)}" => value },
    {
      RETINUE_QUERY_DATABASE_URL          = var.database.reader.url
      RETINUE_DATABASE_AUTH               = "iam"
      RETINUE_CONSOLE_REVIEW_DATABASE_URL = var.database.reviewer.url
      RETINUE_CONSOLE_HOST                = "0.0.0.0" # the security group lets only the load balancer in
      RETINUE_CONSOLE_PORT                = tostring(local.port)
      RETINUE_CONSOLE_SIGN_IN             = var.config.alb == null ? "oidc" : "alb"
      RETINUE_CONSOLE_PUBLIC_URL          = var.config.public_url
      RETINUE_CONSOLE_OIDC_ISSUER         = var.config.oidc.issuer
      RETINUE_CONSOLE_OIDC_CLIENT_ID      = var.config.oidc.client_id
      RETINUE_CONSOLE_OIDC_SCOPES         = var.config.oidc.scopes
      RETINUE_CONSOLE_LOGIN_RIGHTS        = jsonencode(var.config.login_rights)
      RETINUE_CONSOLE_GROUP_RIGHTS        = jsonencode(var.config.group_rights)
    },
    var.config.alb == null ? {} : { RETINUE_CONSOLE_LOAD_BALANCER_ARN = aws_lb.this.arn },
  )
}

module "task" {
  source = "../task"

  task        = var.task
  purpose     = "console"
  command     = ["console"]
  cpu         = var.config.cpu
  memory      = var.config.memory
  health_port = local.port
  environment = local.environment
  secrets     = local.secrets
}

resource "aws_ecs_service" "this" {
  name            = local.name
  cluster         = var.task.cluster.arn
  task_definition = module.task.definition.arn
  desired_count   = var.config.tasks
  launch_type     = "FARGATE"
  propagate_tags  = "SERVICE"

  enable_execute_command             = false
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 60

  network_configuration {
    subnets          = var.task.network.subnet_ids
    security_groups  = [aws_security_group.task.id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this.arn
    container_name   = "retinue"
    container_port   = local.port
  }

  # A version that does not start is taken back.
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  depends_on = [aws_iam_role_policy.task, aws_lb_listener.this]
}
