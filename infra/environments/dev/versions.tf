terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # bootstrap/ makes the bucket; its name comes with `terraform init -backend-config=bucket=…`. The
  # bucket encrypts with bootstrap's key. `encrypt = true` would ask for S3's own key instead.
  backend "s3" {
    key          = "retinue/dev.tfstate"
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = var.account_id == null ? null : [var.account_id]

  default_tags {
    tags = {
      Project     = "retinue"
      Environment = local.environment
    }
  }
}
