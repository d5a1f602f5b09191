# The history's PostgreSQL, on RDS, or a database that exists already (existing.tf). The password of its
# owner is made, kept and rotated every week by AWS: Terraform never sees it, and only the migrations use
# it. Workers and people sign in by IAM.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  own   = var.existing == null
  major = split(".", var.engine_version)[0]
  name  = local.own ? "retinue" : var.existing.name
}

resource "aws_db_subnet_group" "this" {
  count = local.own ? 1 : 0

  name_prefix = "${var.name}-"
  description = "Private subnets of ${var.name}"
  subnet_ids  = var.subnet_ids
}

resource "aws_db_parameter_group" "this" {
  count = local.own ? 1 : 0

  name_prefix = "${var.name}-"
  description = "PostgreSQL ${local.major} of ${var.name}"
  family      = "postgres${local.major}"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name  = "log_connections"
    value = "1"
  }

  parameter {
    name  = "log_disconnections"
    value = "1"
  }

  parameter {
    # A slow statement would be logged with the values bound to it: people, texts that were read.
    # Performance Insights shows it without them.
    name  = "log_min_duration_statement"
    value = "-1"
  }

  parameter {
    # Kilobytes of one session's sorts and joins, at most what PostgreSQL takes. Storage that has grown never shrinks.
    name  = "temp_file_limit"
    value = tostring(min(floor(var.storage_gb * 1048576 / 10), 2147483647))
  }

  parameter {
    # Milliseconds. A forgotten transaction holds back VACUUM.
    name  = "idle_in_transaction_session_timeout"
    value = "600000"
  }

  lifecycle {
    create_before_destroy = true
  }
}

# A name that no earlier final snapshot has.
resource "terraform_data" "final_snapshot" {
  count = local.own ? 1 : 0

  input = formatdate("YYYYMMDDhhmmss", timestamp())

  lifecycle {
    ignore_changes = [input]
  }
}

resource "aws_db_instance" "this" {
  count = local.own ? 1 : 0

  identifier     = var.name
  engine         = "postgres"
  engine_version = var.engine_version
  instance_class = var.instance_class
  db_name        = local.name
  port           = 5432

  storage_type          = "gp3"
  allocated_storage     = var.storage_gb
  max_allocated_storage = var.max_storage_gb
  storage_encrypted     = true
  kms_key_id            = var.key_arn

  username                            = "retinue_owner"
  manage_master_user_password         = true
  master_user_secret_kms_key_id       = var.key_arn
  iam_database_authentication_enabled = true

  multi_az               = var.multi_az
  db_subnet_group_name   = aws_db_subnet_group.this[0].name
  vpc_security_group_ids = [aws_security_group.this[0].id]
  publicly_accessible    = false
  ca_cert_identifier     = "rds-ca-rsa2048-g1"
  parameter_group_name   = aws_db_parameter_group.this[0].name

  backup_retention_period   = var.backup_days
  backup_window             = "02:00-03:00"
  maintenance_window        = "sun:03:30-sun:04:30"
  copy_tags_to_snapshot     = true
  delete_automated_backups  = false
  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = var.skip_final_snapshot
  final_snapshot_identifier = var.skip_final_snapshot ? null : "${var.name}-final-${terraform_data.final_snapshot[0].output}"

  auto_minor_version_upgrade  = true
  allow_major_version_upgrade = var.allow_major_version_upgrade
  apply_immediately           = var.apply_immediately

  performance_insights_enabled          = true
  performance_insights_kms_key_id       = var.key_arn
  performance_insights_retention_period = 7
  monitoring_interval                   = 60
  monitoring_role_arn                   = aws_iam_role.monitoring[0].arn
  enabled_cloudwatch_logs_exports       = ["postgresql", "upgrade"]

  depends_on = [aws_cloudwatch_log_group.this]

  lifecycle {
    postcondition {
      condition     = length(self.master_user_secret) > 0
      error_message = "RDS doesn't manage the password of ${var.name}, as after a restore: aws rds modify-db-instance --db-instance-identifier ${var.name} --manage-master-user-password --master-user-secret-kms-key-id ${var.key_arn}"
    }
  }
}

# Made here, so that they are encrypted and don't grow without limit.
resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(local.own ? ["postgresql", "upgrade"] : [])

  name              = "/aws/rds/instance/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}
