# The way in: TLS from the networks of `client_cidrs`. The load balancer has no public address.

resource "aws_lb" "this" {
  # checkov:skip=CKV_AWS_91:an access log would keep keys of images and who looked at them, in another bucket
  name                       = substr(local.name, 0, 32)
  load_balancer_type         = "application"
  internal                   = true
  subnets                    = var.task.network.subnet_ids
  security_groups            = [aws_security_group.load_balancer.id]
  drop_invalid_header_fields = true
  enable_deletion_protection = var.protect
}

resource "aws_lb_target_group" "this" {
  # checkov:skip=CKV_AWS_378:TLS ends at the load balancer, and the tasks let in nothing else
  name_prefix          = "cons-"
  vpc_id               = var.vpc_id
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = local.port
  deregistration_delay = 15

  health_check {
    path                = "/health"
    interval            = 15
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  lifecycle {
    create_before_destroy = true
  }
}

data "aws_secretsmanager_secret_version" "client" {
  count = var.config.alb == null ? 0 : 1

  secret_id = var.config.oidc.client_secret_arn
}

resource "aws_lb_listener" "this" {
  load_balancer_arn = aws_lb.this.arn
  protocol          = "HTTPS"
  port              = 443
  certificate_arn   = var.config.certificate_arn
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"

  # A rule of the listener takes the client's secret from Terraform, whose state then holds it.
  dynamic "default_action" {
    for_each = var.config.alb == null ? [] : [var.config.alb]

    content {
      type  = "authenticate-oidc"
      order = 1

      authenticate_oidc {
        issuer                     = var.config.oidc.issuer
        client_id                  = var.config.oidc.client_id
        client_secret              = data.aws_secretsmanager_secret_version.client[0].secret_string
        scope                      = var.config.oidc.scopes
        authorization_endpoint     = default_action.value.authorization_endpoint
        token_endpoint             = default_action.value.token_endpoint
        user_info_endpoint         = default_action.value.user_info_endpoint
        session_timeout            = 28800
        on_unauthenticated_request = "authenticate"
      }
    }
  }

  default_action {
    type             = "forward"
    order            = 2
    target_group_arn = aws_lb_target_group.this.arn
  }
}
