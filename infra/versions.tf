terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # `terraform init -backend-config=…` adds the bucket, the region and the key (one for each
  # environment). The bucket encrypts with bootstrap's key; `encrypt = true` would replace that key
  # by S3's own.
  backend "s3" {
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = var.account_id == null ? null : [var.account_id]

  default_tags {
    tags = {
      Project     = "retinue"
      Environment = var.environment
    }
  }
}
