# Retinue in what a platform team runs already: VPC, ECS cluster, Aurora, KMS key, alarm topic, container image
# in another account, and three buckets with the notifications that they have. Only queues, services,
# roles and rules are created.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
  }
}

provider "aws" {
  region = "eu-west-1"
}

module "retinue" {
  source = "../.."

  environment = "existing"
  image_uri   = "444455556666.dkr.ecr.eu-west-1.amazonaws.com/retinue:1.0.0"

  existing_vpc             = { vpc_id = "vpc-0123456789abcdef0", subnet_ids = ["subnet-0a", "subnet-0b"] }
  existing_cluster         = { name = "shared", gpu_capacity_provider = "shared-gpu" }
  existing_database        = { identifier = "shared", aurora = true, name = "retinue" }
  existing_key_arn         = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-0000-0000-000000000001"
  existing_alarm_topic_arn = "arn:aws:sns:eu-west-1:111122223333:on-call"

  create_bucket = false
  sources = {
    # EventBridge must be enabled in this bucket.
    uploads = { bucket_name = "my-uploads", key_arn = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-0000-0000-000000000002" }

    # This bucket notifies a topic that others subscribe to as well.
    archive = { bucket_name = "my-archive", topic_arn = "arn:aws:sns:eu-west-1:111122223333:my-archive-events" }

    # Another account's bucket. Its owner sends its events to this account's default event bus.
    partner = { bucket_name = "partner-images", account_id = "777788889999", key_arn = "arn:aws:kms:eu-west-1:777788889999:key/00000000-0000-0000-0000-000000000003" }
  }

  pools = {
    labels  = { detectors = { rekognition-labels = {} }, key_prefixes = ["in/"] }
    objects = { detectors = { onnx-objects = {} }, gpu = true, cpu = 3584, memory = 14000 }
  }
}

output "reader_role_arns" {
  description = "Roles for the policies of the partner's bucket and key."
  value       = module.retinue.reader_role_arns
}
