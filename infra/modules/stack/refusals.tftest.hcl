mock_provider "aws" {
  source = "../../testing"
}

variables {
  name           = "retinue-test"
  repository_arn = "arn:aws:ecr:eu-west-1:123456789012:repository/retinue"
  images         = { cpu = "retinue:1.0.0", cuda = "retinue:1.0.0-cuda" }

  pools = {
    labels  = { detectors = { rekognition-labels = { min_confidence = 0.5 }, rekognition-text = {} } }
    faces   = { detectors = { rekognition-face-search = { collection_id = "staff" } }, key_prefixes = ["people/"] }
    objects = { detectors = { onnx-objects = {} }, gpu = true, cpu = 3584, memory = 14000, spot_share = 1 }
  }
}

run "refuses_bad_input" {
  command = plan

  variables {
    name               = "aws-retinue"
    images             = { cpu = "retinue:1.0.0" }
    log_retention_days = 31
  }

  expect_failures = [var.name, var.images, var.log_retention_days]
}

run "refuses_no_pools" {
  command = plan

  variables {
    pools = {}
  }

  expect_failures = [var.pools]
}
