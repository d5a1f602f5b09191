# Every check of a pool, and the input that it refuses.

mock_provider "aws" {
  source = "../../testing"
}

variables {
  name            = "retinue-test"
  pool_name       = "labels"
  image           = "retinue:1.0.0"
  cluster         = { arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/retinue-test", name = "retinue-test" }
  network         = { subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
  topic_arn       = "arn:aws:sns:eu-west-1:123456789012:retinue-test-images"
  bucket_arn      = "arn:aws:s3:::retinue-test-images"
  key_arn         = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  alarm_topic_arn = "arn:aws:sns:eu-west-1:123456789012:retinue-test-alarms"
  database = {
    url       = "postgresql://host:5432/retinue?sslmode=verify-full"
    login_arn = "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-ABCDEFGHIJ/retinue_worker"
  }
  config = { detectors = { rekognition-labels = {} } }
}

run "refuses_no_detectors" {
  command = plan

  variables {
    config = { detectors = {} }
  }

  expect_failures = [var.config]
}

run "refuses_a_bad_detector_name" {
  command = plan

  variables {
    config = { detectors = { "Labels!" = {} } }
  }

  expect_failures = [var.config]
}

run "refuses_a_face_search_without_collection" {
  command = plan

  variables {
    config = { detectors = { rekognition-face-search = {} } }
  }

  expect_failures = [var.config]
}

run "refuses_a_price_for_nothing" {
  command = plan

  variables {
    config = { detectors = { rekognition-labels = {} }, prices = { onnx-objects = 1 } }
  }

  expect_failures = [var.config]
}

run "refuses_prefixes_and_suffixes" {
  command = plan

  variables {
    config = { detectors = { rekognition-labels = {} }, key_prefixes = ["a/"], key_suffixes = [".jpg"] }
  }

  expect_failures = [var.config]
}

run "refuses_an_encoded_pattern" {
  command = plan

  variables {
    config = { detectors = { rekognition-labels = {} }, key_prefixes = ["a b/"] }
  }

  expect_failures = [var.config]
}

run "refuses_a_size_that_fargate_has_not" {
  command = plan

  variables {
    config = { detectors = { rekognition-labels = {} }, cpu = 1024, memory = 16384 }
  }

  expect_failures = [var.config]
}

run "refuses_an_instance_without_gpu" {
  command = plan

  variables {
    config = { detectors = { rekognition-labels = {} }, gpu_instance_types = ["t3.micro"] }
  }

  expect_failures = [var.config]
}

run "refuses_a_spot_share_above_one" {
  command = plan

  variables {
    config = { detectors = { rekognition-labels = {} }, spot_share = 80 }
  }

  expect_failures = [var.config]
}

run "refuses_min_above_max" {
  command = plan

  variables {
    config = { detectors = { rekognition-labels = {} }, min = 5, max = 4 }
  }

  expect_failures = [var.config]
}

run "refuses_no_throughput" {
  command = plan

  variables {
    config = { detectors = { rekognition-labels = {} }, images_per_minute_per_task = 0 }
  }

  expect_failures = [var.config]
}

run "refuses_one_receive" {
  command = plan

  variables {
    config = { detectors = { rekognition-labels = {} }, max_receive_count = 1 }
  }

  expect_failures = [var.config]
}

run "refuses_a_slow_heartbeat" {
  command = plan

  variables {
    config = { detectors = { rekognition-labels = {} }, heartbeat_seconds = 61, detector_timeout_seconds = 10 }
  }

  expect_failures = [var.config]
}

run "refuses_a_detector_slower_than_the_visibility_timeout" {
  command = plan

  variables {
    config = { detectors = { rekognition-labels = {} }, detector_timeout_seconds = 100 }
  }

  expect_failures = [var.config]
}

run "refuses_a_grace_as_long_as_the_stop_timeout" {
  command = plan

  variables {
    config = { detectors = { rekognition-labels = {} }, shutdown_grace_seconds = 80 }
  }

  expect_failures = [var.config]
}

run "refuses_a_stop_timeout_above_fargates" {
  command = plan

  variables {
    config = { detectors = { rekognition-labels = {} }, stop_timeout_seconds = 121 }
  }

  expect_failures = [var.config]
}

run "refuses_an_unknown_setting" {
  command = plan

  variables {
    config = { detectors = { rekognition-labels = {} }, settings = { queue_url = "x" } }
  }

  expect_failures = [var.config]
}

run "refuses_a_failure_rate_of_nothing" {
  command = plan

  variables {
    config = { detectors = { rekognition-labels = {} }, alarm_failed_percent = 0 }
  }

  expect_failures = [var.config]
}

run "refuses_a_gpu_without_instances" {
  command = plan

  variables {
    config = { detectors = { onnx-objects = {} }, gpu = true }
  }

  expect_failures = [var.gpu_capacity_provider]
}

run "refuses_a_bad_name_and_a_connection_in_the_clear" {
  command = plan

  variables {
    pool_name = "migrations"
    database  = { url = "postgresql://host:5432/retinue?sslmode=require", login_arn = "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-ABCDEFGHIJ/retinue_worker" }
  }

  expect_failures = [var.pool_name, var.database]
}
