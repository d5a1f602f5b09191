# Access to the database: by network, and by IAM.

resource "aws_security_group" "this" {
  count = local.own ? 1 : 0

  name_prefix = "${var.name}-database-"
  description = "Database of ${var.name}: PostgreSQL from the tasks"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-database" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.client_security_group_ids

  security_group_id            = local.security_group_id
  description                  = "PostgreSQL from ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  referenced_security_group_id = each.value
}

resource "aws_vpc_security_group_ingress_rule" "addresses" {
  for_each = var.client_cidr_blocks

  security_group_id = local.security_group_id
  description       = "PostgreSQL from ${each.key}"
  ip_protocol       = "tcp"
  from_port         = 5432
  to_port           = 5432
  cidr_ipv4         = each.key
}

resource "aws_vpc_security_group_egress_rule" "clients" {
  for_each = var.client_security_group_ids

  security_group_id            = each.value
  description                  = "PostgreSQL of ${var.name}"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  referenced_security_group_id = local.security_group_id
}

# Attach it to the analysts. They sign in with a token of 15 minutes, as
# `retinue_analyst`, which may read and nothing else.
resource "aws_iam_policy" "analyst" {
  name_prefix = "${var.name}-analyst-"
  description = "Sign in to the history of ${var.name} as retinue_analyst"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "SignIn"
      Effect   = "Allow"
      Action   = "rds-db:connect"
      Resource = "${local.login_arn_prefix}/${local.analyst}"
    }]
  })
}

# One for each analyst, whose login has a limited number of connections.
resource "aws_iam_policy" "analysts" {
  for_each = var.analysts

  name_prefix = "${var.name}-analyst-${each.key}-"
  description = "Sign in to the history of ${var.name} as analyst_${each.key}"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "SignIn"
      Effect   = "Allow"
      Action   = "rds-db:connect"
      Resource = "${local.login_arn_prefix}/analyst_${each.key}"
    }]
  })
}

# `retinue migrate` makes these logins.
locals {
  worker   = "retinue_worker"
  analyst  = "retinue_analyst"
  reviewer = "retinue_console"
  place    = "${local.server.address}:${local.server.port}/${local.name}?sslmode=verify-full&sslrootcert=${var.certificate_bundle}"

  login_arn_prefix = join(":", [
    "arn", data.aws_partition.current.partition, "rds-db", data.aws_region.current.id,
    data.aws_caller_identity.current.account_id, "dbuser", local.server.resource_id,
  ])
}

resource "aws_iam_role" "monitoring" {
  count = local.own ? 1 : 0

  name_prefix          = "${var.name}-rds-"
  permissions_boundary = var.boundary_arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })
}

# AWS's own policy for enhanced monitoring: it writes to the log group RDSOSMetrics, nothing else.
resource "aws_iam_role_policy_attachment" "monitoring" {
  count = local.own ? 1 : 0

  role       = aws_iam_role.monitoring[0].name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}
