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
    bucket_name        = "my-images"
    log_retention_days = 31
    image_tag          = null
    pools              = {}
    database_clients   = { security_group_ids = { workers = "sg-0123456789abcdef0" } }
  }

  expect_failures = [var.environment, var.bucket_name, var.log_retention_days, var.image_tag, var.pools, var.database_clients]
}

run "refuses_a_model_in_two_pools" {
  command = plan

  variables {
    pools = { for name in ["labels", "urgent"] : name => {
      detectors     = { rekognition-custom-labels = { project_version_arn = "arn:aws:rekognition:eu-west-1:123456789012:project/birds/version/v1/1700000000000" } }
      key_prefixes  = ["${name}/"]
      hosted_models = { rekognition-custom-labels = {} }
    } }
  }

  expect_failures = [var.pools]
}

run "refuses_null_for_an_option" {
  command = plan

  variables {
    pools = { labels = { detectors = { rekognition-labels = { min_confidence = null } } } }
  }

  expect_failures = [var.pools]
}

run "refuses_null_for_a_detector" {
  command = plan

  variables {
    pools = { labels = { detectors = { rekognition-labels = null } } }
  }

  expect_failures = [var.pools]
}

run "refuses_null_for_a_pattern_of_a_route" {
  command = plan

  variables {
    pools = { labels = { detectors = { rekognition-labels = {} }, routes = { rekognition-labels = { tags = { review = [null] } } } } }
  }

  expect_failures = [var.pools]
}

run "refuses_null_for_a_price" {
  command = plan

  variables {
    pools = { labels = { detectors = { rekognition-labels = {} }, prices = { rekognition-labels = null } } }
  }

  expect_failures = [var.pools]
}

run "takes_null_for_the_default" {
  command = plan

  variables {
    pools              = { labels = { detectors = { rekognition-labels = {} }, prices = null, max = null } }
    sources            = null
    database           = null
    database_clients   = null
    retention          = null
    analysts           = null
    alarm_emails       = null
    egress             = null
    protect            = null
    create_bucket      = null
    log_retention_days = null
  }
}

# retinue-dev-eu-labels would be the pool eu-labels of dev, and the pool labels of dev-eu.
run "refuses_a_name_that_a_pool_of_another_environment_can_have" {
  command = plan

  variables {
    environment = "dev-eu"
  }

  expect_failures = [var.environment]
}

run "refuses_the_name_of_bootstraps_key" {
  command = plan

  variables {
    environment = "bootstrap"
  }

  expect_failures = [var.environment]
}

run "refuses_null_for_a_source_a_client_and_a_cluster" {
  command = plan

  variables {
    sources          = { uploads = null }
    database_clients = { security_group_ids = { vpn = null } }
    existing_cluster = { name = null }
  }

  expect_failures = [var.sources, var.database_clients, var.existing_cluster]
}
