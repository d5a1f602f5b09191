mock_provider "aws" {
  source = "../../testing"
}

variables {
  name = "retinue-test"
}

run "key" {
  command = apply

  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "the key must rotate"
  }

  assert {
    condition = alltrue([for statement in jsondecode(aws_kms_key.this.policy).Statement :
      can(statement.Principal.AWS) || can(keys(statement.Condition)) != (try(statement.Principal.Service, null) == "events.amazonaws.com")
    ])
    error_message = "a service may use the key for this account alone, except EventBridge, which fails with a condition"
  }
}

run "refuses_a_bad_name" {
  command = plan

  variables {
    name = "Retinue Dev"
  }

  expect_failures = [var.name]
}
