mock_provider "aws" {
  source = "./testing"
}

variables {
  environment = "test"
  image_tag   = "1.0.0"

  pools = {
    labels = { detectors = { rekognition-labels = { min_confidence = 0.5 }, rekognition-text = {} } }
    faces = {
      detectors = {
        rekognition-face-search  = { collection_id = "staff" }
        rekognition-face-compare = { reference_image = "s3://retinue-test-people/ann.jpg?versionId=3" }
      }
      key_prefixes = ["people/"]
    }
    cascade = {
      detectors = { onnx-objects = {}, rekognition-faces = {} }
      routes = { rekognition-faces = {
        key   = ["uploads/*"]
        tags  = { review = ["yes"] }
        found = [{ detector = "onnx-objects", label = ["person"], min_confidence = 0.5 }]
      } }
      isolation     = { onnx-objects = {} }
      event_bus_arn = "arn:aws:events:eu-west-1:123456789012:event-bus/retinue"
    }
    objects = {
      detectors = {
        onnx-labels = {
          model   = "s3://retinue-test-models/birds/3/model.onnx#sha256=0000000000000000000000000000000000000000000000000000000000000000"
          objects = "{\"model\": \"s3://retinue-test-models/wings/1/model.onnx#sha256=0000000000000000000000000000000000000000000000000000000000000000\"}"
        }
      }
      gpu = true, cpu = 3584, memory = 14000, spot_share = 1
    }
    video = {
      detectors    = { rekognition-video-labels = {}, rekognition-video-face-search = { collection_id = "staff" } }
      key_suffixes = [".mp4", ".mov"]
      min          = 1
    }
  }
}

run "everything" {
  command = apply

  variables {
    model_project_arns = ["arn:aws:rekognition:eu-west-1:123456789012:project/birds/*"]
    model_key_arns     = ["arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000003"]
    retention          = { detections_months = 24, raw_responses_days = 90 }
    archive            = { detectors = ["onnx-objects", "rekognition-labels"] }
  }

  assert {
    condition     = output.bucket_name != "" && local.bucket_name == "retinue-test-images-123456789012-eu-west-1"
    error_message = "the bucket's name must be globally unique"
  }

  assert {
    condition     = toset(keys(output.pools)) == toset(["cascade", "labels", "faces", "objects", "video"])
    error_message = "there must be a pool for each entry of the map"
  }

  assert {
    condition     = length(module.gpu_capacity) == 1 && contains(aws_ecs_cluster_capacity_providers.this[0].capacity_providers, "retinue-test-objects")
    error_message = "only the pool with a GPU gets instances"
  }

  assert {
    condition     = length(module.model_reaper) == 1
    error_message = "the reaper must be there when there are models"
  }

  assert {
    condition     = one(aws_ecs_cluster.this[0].setting).value == "enabled"
    error_message = "scaling reads Container Insights"
  }
}

run "no_reaper_without_models" {
  command = plan

  variables {
    pools = { labels = { detectors = { rekognition-labels = {} } } }
  }

  assert {
    condition     = length(module.model_reaper) == 0 && length(module.gpu_capacity) == 0
    error_message = "optional parts must not be created unless they are asked for"
  }
}

run "no_rekognition_for_local_models" {
  command = plan

  variables {
    pools = { objects = { detectors = { onnx-objects = {} } } }
  }

  assert {
    condition     = !local.uses_rekognition
    error_message = "local models must run in regions without Rekognition"
  }
}

run "a_topic_of_two_buckets_is_subscribed_to_once" {
  command = plan

  variables {
    pools = { labels = { detectors = { rekognition-labels = {} } } }
    sources = {
      here  = { bucket_name = "retinue-test-here", topic_arn = "arn:aws:sns:eu-west-1:123456789012:uploads" }
      there = { bucket_name = "retinue-test-there", topic_arn = "arn:aws:sns:eu-west-1:123456789012:uploads" }
    }
  }

  assert {
    condition     = length(local.events.topic_arns) == 2 && length(local.images.bucket_arns) == 3
    error_message = "The queue would be subscribed twice, and removing one bucket would end the events of both."
  }
}
