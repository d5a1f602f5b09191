# With `existing`, a PostgreSQL on RDS or Aurora from outside this module. Its only change is that its security
# group lets the clients in. Its owner sees to size, backups, limits and alarms.

data "aws_db_instance" "existing" {
  count = local.own ? 0 : var.existing.aurora ? 0 : 1

  db_instance_identifier = var.existing.identifier

  lifecycle {
    postcondition {
      condition     = self.engine == "postgres" && tonumber(split(".", self.engine_version)[0]) >= 15
      error_message = "The database ${var.existing.identifier} must be PostgreSQL 15 or newer; it is ${self.engine} ${self.engine_version}."
    }
    postcondition {
      condition     = var.existing.owner_secret_arn != null || length(self.master_user_secret) > 0
      error_message = "RDS doesn't manage the password of ${var.existing.identifier}: give existing.owner_secret_arn."
    }
  }
}

data "aws_rds_cluster" "existing" {
  count = local.own ? 0 : var.existing.aurora ? 1 : 0

  cluster_identifier = var.existing.identifier

  lifecycle {
    postcondition {
      condition     = self.engine == "aurora-postgresql" && tonumber(split(".", self.engine_version)[0]) >= 15
      error_message = "The cluster ${var.existing.identifier} must be Aurora PostgreSQL 15 or newer; it is ${self.engine} ${self.engine_version}."
    }
    postcondition {
      condition     = self.iam_database_authentication_enabled
      error_message = "The cluster ${var.existing.identifier} must accept IAM: aws rds modify-db-cluster --db-cluster-identifier ${var.existing.identifier} --enable-iam-database-authentication"
    }
    postcondition {
      condition     = var.existing.owner_secret_arn != null || length(self.master_user_secret) > 0
      error_message = "RDS doesn't manage the password of ${var.existing.identifier}: give existing.owner_secret_arn."
    }
  }
}

locals {
  found = concat(
    [for instance in aws_db_instance.this : {
      identifier        = instance.identifier
      address           = instance.address
      port              = instance.port
      resource_id       = instance.resource_id
      security_group_id = aws_security_group.this[0].id
      secret            = instance.master_user_secret
    }],
    [for instance in data.aws_db_instance.existing : {
      identifier        = instance.db_instance_identifier
      address           = instance.address
      port              = instance.port
      resource_id       = instance.resource_id
      security_group_id = tolist(instance.vpc_security_groups)[0]
      secret            = instance.master_user_secret
    }],
    [for cluster in data.aws_rds_cluster.existing : {
      identifier        = cluster.cluster_identifier
      address           = cluster.endpoint
      port              = cluster.port
      resource_id       = cluster.cluster_resource_id
      security_group_id = tolist(cluster.vpc_security_group_ids)[0]
      secret            = cluster.master_user_secret
    }],
  )[0]

  # A secret of your own takes precedence, for an owner other than the master user.
  server = {
    identifier     = local.found.identifier
    address        = local.found.address
    port           = local.found.port
    resource_id    = local.found.resource_id
    secret_arn     = try(var.existing.owner_secret_arn, null) != null ? var.existing.owner_secret_arn : local.found.secret[0].secret_arn
    secret_key_arn = local.own ? null : try(coalesce(var.existing.owner_secret_key_arn, try(local.found.secret[0].kms_key_id, null)), null)
  }
  security_group_id = local.found.security_group_id
}
