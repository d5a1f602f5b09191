# Planned only: the bucket with the state refuses to be destroyed, also at the end of a test.

mock_provider "aws" {
  source          = "../testing"
  override_during = plan
}

variables {
  region = "eu-west-1"
}

run "bootstrap" {
  command = plan

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.state.block_public_acls,
      aws_s3_bucket_public_access_block.state.block_public_policy,
      aws_s3_bucket_public_access_block.state.ignore_public_acls,
      aws_s3_bucket_public_access_block.state.restrict_public_buckets,
    ])
    error_message = "public access must be blocked in all four ways"
  }

  assert {
    condition     = aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled"
    error_message = "an earlier state must be there to be had back"
  }

  assert {
    condition     = alltrue([for rule in aws_s3_bucket_server_side_encryption_configuration.state.rule : rule.apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms"])
    error_message = "the state must be encrypted with our key"
  }

  assert {
    condition     = jsondecode(aws_s3_bucket_policy.state.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    error_message = "nothing may come or go without TLS"
  }

  assert {
    condition     = local.state_bucket == "retinue-state-123456789012-eu-west-1"
    error_message = "the bucket's name must be unique in the world"
  }
}

run "roles_for_github" {
  command = plan

  variables {
    github = { repository = "owner/retinue", region = "eu-west-1" }
  }

  assert {
    condition     = length(module.github) == 1
    error_message = "the region must create the roles"
  }
}

run "roles_of_another_region" {
  command = plan

  variables {
    github = { repository = "owner/retinue", region = "us-east-1" }
  }

  assert {
    condition     = length(module.github) == 0
    error_message = "roles are the account's: two regions would create the same"
  }
}

run "refuses_bad_input" {
  command = plan

  variables {
    region = "Ireland"
    github = { repository = "retinue", region = null }
  }

  expect_failures = [var.region, var.github]
}
