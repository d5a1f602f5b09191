mock_provider "aws" {
  source = "../../testing"
}

variables {
  repository   = "owner/retinue"
  environments = ["dev", "production"]
}

run "roles" {
  command = apply

  assert {
    condition     = jsondecode(aws_iam_role.this["deploy"].assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == ["repo:owner/retinue:environment:dev", "repo:owner/retinue:environment:production"]
    error_message = "only jobs of an environment, which people approve, may deploy"
  }

  assert {
    condition     = jsondecode(aws_iam_role.this["plan"].assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == ["repo:owner/retinue:ref:refs/heads/main"]
    error_message = "only the main branch may plan"
  }

  assert {
    condition     = length([for name, attachment in aws_iam_role_policy_attachment.this : name if startswith(name, "plan-")]) == 1
    error_message = "planning must not get the permissions to deploy"
  }
}

run "refuses_bad_input" {
  command = plan

  variables {
    repository   = "retinue"
    environments = []
    provider_arn = "github"
    boundary_arn = "boundary"
  }

  expect_failures = [var.repository, var.environments, var.provider_arn, var.boundary_arn]
}
