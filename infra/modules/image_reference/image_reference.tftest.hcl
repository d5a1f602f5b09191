mock_provider "aws" {
  source = "../../testing"
}

variables {
  repository_name = "retinue"
  tag             = "1.0.0"
}

run "a_tag_becomes_a_digest" {
  command = plan

  assert {
    condition     = output.images.cpu == "123456789012.dkr.ecr.eu-west-1.amazonaws.com/retinue@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    error_message = "the image must be pinned by digest"
  }

  assert {
    condition     = output.images.cuda == null
    error_message = "the CUDA variant must not be asked for without need"
  }
}

run "cuda" {
  command = plan

  variables {
    cuda = true
  }

  assert {
    condition     = data.aws_ecr_image.cuda[0].image_tag == "1.0.0-cuda"
    error_message = "the CUDA variant must be the same version"
  }
}

run "another_registry" {
  command = plan

  variables {
    tag = null
    uri = "registry.example.com/retinue:1.0.0"
  }

  assert {
    condition     = output.images.cpu == "registry.example.com/retinue:1.0.0" && output.repository_arn == null
    error_message = "the image that was given must be used"
  }
}

run "another_account" {
  command = plan

  variables {
    tag = null
    uri = "210987654321.dkr.ecr.eu-west-1.amazonaws.com/team/retinue@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }

  assert {
    condition     = output.repository_arn == "arn:aws:ecr:eu-west-1:210987654321:repository/team/retinue"
    error_message = "tasks must be allowed to pull from another account's repository"
  }
}

run "refuses_latest" {
  command = plan

  variables {
    tag = "latest"
  }

  expect_failures = [var.tag]
}
