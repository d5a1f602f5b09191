mock_provider "aws" {
  source = "../../testing"
}

variables {
  name    = "retinue"
  key_arn = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "findings" {
  command = plan

  variables {
    findings_topic_arn = "arn:aws:sns:eu-west-1:123456789012:on-call"
  }

  assert {
    condition     = aws_ecr_registry_scanning_configuration.this[0].scan_type == "ENHANCED" && aws_cloudwatch_event_target.findings[0].arn == var.findings_topic_arn
    error_message = "Inspector's findings must reach people"
  }
}

run "registry" {
  command = apply

  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE"
    error_message = "a tag must mean one image for ever"
  }

  assert {
    condition     = aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push
    error_message = "images must be scanned"
  }

  assert {
    condition     = aws_ecr_repository.this.encryption_configuration[0].kms_key == var.key_arn
    error_message = "images must be encrypted with our key"
  }

  assert {
    condition     = !aws_ecr_repository.this.force_delete
    error_message = "images must not be deleted with the repository"
  }

  assert {
    condition     = jsondecode(aws_ecr_lifecycle_policy.this.policy).rules[0].selection.countNumber == 60
    error_message = "old images must go"
  }
}

run "other_accounts" {
  command = apply

  variables {
    pull_account_ids = ["210987654321"]
  }

  assert {
    condition     = jsondecode(aws_ecr_repository_policy.this[0].policy).Statement[0].Principal.AWS == ["arn:aws:iam::210987654321:root"]
    error_message = "only the named accounts may pull"
  }
}

run "deployed_images_stay" {
  command = apply

  variables {
    environments = ["production", "dev"]
  }

  assert {
    condition = [for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : try(rule.selection.tagPrefixList[0], rule.selection.tagStatus)] == [
      "deployed_dev_", "deployed_production_", "tagged", "untagged",
    ]
    error_message = "what an environment runs must be kept before images are counted"
  }

  assert {
    condition     = jsondecode(aws_ecr_lifecycle_policy.this.policy).rules[3].selection.countNumber >= 365
    error_message = "signatures, which have no tag, must live as long as the images that can be deployed"
  }
}

run "refuses_bad_input" {
  command = plan

  variables {
    name        = "Retinue!"
    keep_images = 1
  }

  expect_failures = [var.name, var.keep_images]
}
