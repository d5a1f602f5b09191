# The smallest environment: a bucket, a database and one pool. The tag is a container image in the registry
# that bootstrap/ creates.

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

  environment = "minimal"
  image_tag   = "1.0.0"

  pools = {
    labels = { detectors = { rekognition-labels = { min_confidence = 0.5 } } }
  }
}

output "bucket_name" {
  description = "Bucket to upload images to."
  value       = module.retinue.bucket_name
}
