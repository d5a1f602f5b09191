# An environment as it is committed, on an imaginary account:
#
#   terraform test -test-directory=environments -filter=environments/environment.tftest.hcl \
#     -var-file=environments/dev.tfvars

mock_provider "aws" {
  source = "./testing"
}

variables {
  region    = "eu-west-1"
  image_tag = "1.0.0"

  # Neither environment has one. It is here for checkov, which reads the values of this test.
  archive = { detectors = ["rekognition-labels"] }
}

# `make deploy` applies this first: everything that a migration needs, and no service. The next run
# applies the rest.
run "migrations_first" {
  command = apply

  plan_options {
    target = [
      aws_ecs_cluster.this,
      module.network,
      module.database,
      module.migrations,
    ]
  }

  assert {
    condition     = jsondecode(output.migrate).cluster == "retinue-${var.environment}"
    error_message = "the migrations' task must be known before any service exists"
  }
}

run "everything" {
  command = apply

  assert {
    condition     = length(output.pools) > 0 && output.bucket_name != ""
    error_message = "the outputs must name the bucket and the pools"
  }
}

run "refuses_bad_input" {
  command = plan

  variables {
    region     = "Ireland"
    account_id = "1234"
    tags       = { Project = "birds" }
  }

  expect_failures = [var.region, var.account_id, var.tags]
}
