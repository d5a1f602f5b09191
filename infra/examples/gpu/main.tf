# A pool whose detector runs on a GPU: EC2 instances that start and stop with the backlog. The registry must
# have the tag's CUDA variant as well, 1.0.0-cuda.

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

  environment = "gpu"
  image_tag   = "1.0.0"

  # ECS gives tasks on EC2 instances no public address, so egress can't be public. One zone of endpoints costs half.
  endpoint_zone_count = 1

  pools = {
    objects = {
      detectors  = { onnx-objects = {} }
      gpu        = true
      cpu        = 3584
      memory     = 14000
      spot_share = 1
    }
  }
}

output "pools" {
  description = "Queue, service and log group of each pool."
  value       = module.retinue.pools
}
