# The console in an environment, which needs a VPC of its own kind: one with a way in and out.

mock_provider "aws" {
  source = "./testing"
}

variables {
  environment = "test"
  image_tag   = "1.0.0"
  pools       = { labels = { detectors = { rekognition-labels = {} } } }

  existing_vpc = { vpc_id = "vpc-0123456789abcdef0", subnet_ids = ["subnet-1", "subnet-2"] }
  console = {
    public_url      = "https://retinue.example.com"
    certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
    client_cidrs    = ["10.0.0.0/8"]
    oidc = {
      issuer            = "https://id.example.com"
      client_id         = "retinue"
      client_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:console-abcdef"
    }
    group_rights = { labelling = ["reviewer"], leads = ["admin", "sql"] }
    settings     = { session_minutes = "60", login_claim = "sub", groups_claim = "roles", pictures_cache_mb = "500" }
  }
}

run "console" {
  command = apply

  assert {
    condition     = output.console.service_name == "retinue-test-console"
    error_message = "the deployment must know the console's service"
  }
}

run "refuses_a_console_that_nobody_reaches" {
  command = plan

  variables {
    existing_vpc = null
  }

  expect_failures = [var.console]
}
