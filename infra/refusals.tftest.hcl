# Values that the root itself refuses. The modules refuse the rest, each with tests of its own.

mock_provider "aws" {
  source = "./testing"
}

variables {
  environment = "test"
  image_tag   = "1.0.0"
  pools       = { labels = { detectors = { rekognition-labels = {} } } }
}

run "refuses_gpu_tasks_without_a_way_out" {
  command = plan

  variables {
    egress = "public"
    pools  = { labels = { detectors = { onnx-objects = {} }, gpu = true } }
  }

  expect_failures = [var.egress]
}

run "refuses_bad_input" {
  command = plan

  variables {
    environment        = "Test"
    log_retention_days = 31
    image_tag          = null
    pools              = {}
    database_clients   = { security_group_ids = { workers = "sg-0123456789abcdef0" } }
  }

  expect_failures = [var.environment, var.log_retention_days, var.image_tag, var.pools, var.database_clients]
}
