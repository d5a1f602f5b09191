# Connections: people → load balancer → tasks → database, AWS and the identity provider.

resource "aws_security_group" "load_balancer" {
  name_prefix = "${local.name}-lb-"
  description = "Load balancer of ${local.name}: TLS from people; out to the tasks"
  vpc_id      = var.vpc_id
  tags        = { Name = "${local.name}-lb" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer_from_people" {
  for_each = toset(var.config.client_cidrs)

  security_group_id = aws_security_group.load_balancer.id
  description       = "TLS from ${each.key}"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = each.key
}

resource "aws_vpc_security_group_egress_rule" "load_balancer_to_tasks" {
  security_group_id            = aws_security_group.load_balancer.id
  description                  = "The console"
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
  referenced_security_group_id = aws_security_group.task.id
}

resource "aws_vpc_security_group_egress_rule" "load_balancer_to_provider" {
  count = var.config.alb == null ? 0 : 1

  security_group_id = aws_security_group.load_balancer.id
  description       = "The identity provider, by any way that this VPC has"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_security_group" "task" {
  # checkov:skip=CKV2_AWS_5:tasks wear it, by the network configuration of their service
  name_prefix = "${local.name}-"
  description = "Tasks of ${local.name}: in from the load balancer; out to AWS, the identity provider and the database"
  vpc_id      = var.vpc_id
  tags        = { Name = local.name }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "task_from_load_balancer" {
  security_group_id            = aws_security_group.task.id
  description                  = "The load balancer"
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
  referenced_security_group_id = aws_security_group.load_balancer.id
}

# The way to AWS and to the provider is not known here (NAT, endpoints, a proxy).
resource "aws_vpc_security_group_egress_rule" "task_to_anywhere" {
  security_group_id = aws_security_group.task.id
  description       = "AWS and the identity provider, by any way that this VPC has"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_egress_rule" "task_to_database" {
  security_group_id            = aws_security_group.task.id
  description                  = "PostgreSQL"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  referenced_security_group_id = var.database.security_group_id
}

resource "aws_vpc_security_group_ingress_rule" "database_from_task" {
  security_group_id            = var.database.security_group_id
  description                  = "PostgreSQL from the console"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  referenced_security_group_id = aws_security_group.task.id
}
