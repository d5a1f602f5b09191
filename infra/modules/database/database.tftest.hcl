mock_provider "aws" {
  source = "../../testing"
}

variables {
  name                      = "retinue-test"
  vpc_id                    = "vpc-0123456789abcdef0"
  subnet_ids                = ["subnet-1", "subnet-2"]
  client_security_group_ids = { workers = "sg-1" }
  key_arn                   = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "database" {
  command = apply

  assert {
    condition     = aws_db_instance.this[0].storage_encrypted && aws_db_instance.this[0].kms_key_id == var.key_arn
    error_message = "rows must be encrypted with our key"
  }

  assert {
    condition     = aws_db_instance.this[0].manage_master_user_password && aws_db_instance.this[0].password == null
    error_message = "AWS must make the password, and Terraform must not know it"
  }

  assert {
    condition     = aws_db_instance.this[0].iam_database_authentication_enabled
    error_message = "people must be able to sign in by IAM"
  }

  assert {
    condition     = !aws_db_instance.this[0].publicly_accessible
    error_message = "the database must not be public"
  }

  assert {
    condition     = contains([for parameter in aws_db_parameter_group.this[0].parameter : "${parameter.name}=${parameter.value}"], "rds.force_ssl=1")
    error_message = "the server must insist on TLS"
  }

  assert {
    condition = !anytrue([for parameter in aws_db_parameter_group.this[0].parameter :
      startswith(parameter.name, "log_min_duration") && parameter.value != "-1" || parameter.name == "log_statement"
    ])
    error_message = "no statement may be logged with its values, which tell of people"
  }

  assert {
    condition = length(setsubtract(["temp_file_limit=2097152", "idle_in_transaction_session_timeout=600000"],
      [for parameter in aws_db_parameter_group.this[0].parameter : "${parameter.name}=${parameter.value}"]
    )) == 0
    error_message = "one session must not fill the disk, or hold back VACUUM"
  }

  assert {
    condition     = aws_db_parameter_group.this[0].family == "postgres17"
    error_message = "the parameter group must be the version's"
  }

  assert {
    condition     = aws_db_instance.this[0].deletion_protection && !aws_db_instance.this[0].skip_final_snapshot && aws_db_instance.this[0].backup_retention_period == 7
    error_message = "the history must survive a mistake"
  }

  assert {
    condition     = aws_db_instance.this[0].performance_insights_enabled && aws_db_instance.this[0].performance_insights_kms_key_id == var.key_arn
    error_message = "Performance Insights must be on, and encrypted"
  }

  assert {
    condition     = startswith(output.owner.url, "postgresql://retinue-test.abcdefghijkl.eu-west-1.rds.amazonaws.com:5432/retinue?") && strcontains(output.owner.url, "sslmode=verify-full")
    error_message = "the owner's URL must check the certificate, and hold no login"
  }

  assert {
    condition     = startswith(output.worker.url, "postgresql://retinue_worker@retinue-test.abcdefghijkl.eu-west-1.rds.amazonaws.com:5432/retinue?") && strcontains(output.worker.url, "sslmode=verify-full")
    error_message = "the workers' URL must check the certificate, and hold their login and no password"
  }

  assert {
    condition     = output.worker.login_arn == "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/retinue_worker"
    error_message = "workers must sign in to this database, as the login that may write and nothing else"
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.clients) == 1 && aws_vpc_security_group_ingress_rule.clients["workers"].cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.clients["workers"].referenced_security_group_id == "sg-1"
    error_message = "only the workers may connect"
  }

  assert {
    condition     = jsondecode(aws_iam_policy.analyst.policy).Statement[0].Resource == "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/retinue_analyst"
    error_message = "analysts must sign in to this database, as the login that may only read"
  }
}

run "standby" {
  command = plan

  variables {
    multi_az            = true
    engine_version      = "18.1"
    deletion_protection = false
    skip_final_snapshot = true
    storage_gb          = 64
    max_storage_gb      = 128
  }

  assert {
    condition     = contains([for parameter in aws_db_parameter_group.this[0].parameter : "${parameter.name}=${parameter.value}"], "temp_file_limit=6710886")
    error_message = "RDS takes whole numbers"
  }

  assert {
    condition     = aws_db_instance.this[0].multi_az && aws_db_parameter_group.this[0].family == "postgres18"
    error_message = "there must be a standby, of the version asked for"
  }
}

run "refuses_bad_input" {
  command = plan

  variables {
    name               = "Retinue"
    engine_version     = "14"
    instance_class     = "t4g.small"
    storage_gb         = 10
    backup_days        = 0
    certificate_bundle = "bundle.pem"
  }

  expect_failures = [
    var.name, var.engine_version, var.instance_class, var.storage_gb, var.backup_days,
    var.certificate_bundle,
  ]
}

run "refuses_storage_that_cannot_grow" {
  command = plan

  variables {
    storage_gb     = 100
    max_storage_gb = 100
  }

  expect_failures = [var.max_storage_gb]
}

# RDS restores an instance without the secret of its owner.
run "refuses_a_database_without_the_secret_of_its_owner" {
  command   = plan
  state_key = "restored"

  override_resource {
    target          = aws_db_instance.this[0]
    override_during = plan
    values          = { master_user_secret = [] }
  }

  expect_failures = [aws_db_instance.this[0]]
}
