# The environment as it is committed, on an imaginary account.

mock_provider "aws" {
  source = "../../testing"
}

variables {
  region    = "eu-west-1"
  image_tag = "1.0.0"
}

# What `make deploy` applies first: all that a migration needs, and no service. The run after it does
# the rest.
run "migrations_first" {
  command = apply

  plan_options {
    target = [
      module.stack.aws_ecs_cluster.this,
      module.stack.module.network,
      module.stack.module.database,
      module.stack.module.migrations,
    ]
  }

  assert {
    condition     = jsondecode(output.migrate).cluster == "retinue-dev"
    error_message = "the migrations' task must be known before there is a service"
  }
}

run "dev" {
  command = apply

  assert {
    condition     = length(output.stack.pools) > 0 && output.stack.bucket_name != ""
    error_message = "the environment must say where to drop images, and who works on them"
  }
}

run "refuses_neither_tag_nor_uri" {
  command = plan

  variables {
    image_tag = null
  }

  expect_failures = [var.image_tag]
}

run "refuses_what_is_no_region" {
  command = plan

  variables {
    region = "Ireland"
  }

  expect_failures = [var.region]
}
