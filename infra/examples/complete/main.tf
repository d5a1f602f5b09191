# Everything that an environment of its own can have: several pools, two zones by id, a standby database,
# an archive, analysts, alarms, a canary, ARM64, and NAT gateways instead of endpoints.

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

  default_tags {
    tags = { Project = "retinue", Team = "pictures" }
  }
}

module "retinue" {
  source = "../.."

  environment = "complete"
  image_tag   = "1.0.0"
  arm64       = true

  zone_ids            = ["euw1-az1", "euw1-az2"]
  endpoint_zone_count = 2
  egress              = "nat"

  database = {
    instance_class = "db.m7g.large"
    storage_gb     = 100
    max_storage_gb = 1000
    multi_az       = true
    backup_days    = 35
  }
  retention          = { detections_months = 3, raw_responses_days = 90 }
  archive            = { detectors = ["rekognition-labels", "rekognition-face-search"], first_month = "2026-01" }
  image_expire_days  = 400
  access_log_bucket  = "my-access-logs"
  analysts           = ["ann"]
  database_clients   = { cidr_blocks = ["10.8.0.0/16"] }
  alarm_emails       = ["pictures@example.com"]
  monthly_budget_usd = 2000
  log_retention_days = 365
  canary_minutes     = 15
  model_project_arns = ["arn:aws:rekognition:eu-west-1:111122223333:project/birds/*"]

  permissions_boundary_arn = "arn:aws:iam::111122223333:policy/boundary"

  pools = {
    labels = {
      detectors           = { rekognition-labels = { min_confidence = 0.5 } }
      monthly_budgets_usd = { rekognition-labels = 500 }
      max                 = 10
      spot_share          = 0.8
    }
    entrance = {
      detectors    = { rekognition-face-search = { collection_id = "staff" } }
      key_prefixes = ["entrance/"]
      min          = 1
    }
    films = {
      detectors    = { rekognition-video-labels = {} }
      key_suffixes = [".mp4"]
      min          = 1
      max          = 1
    }
  }
}

output "retinue" {
  description = "Addresses of what was created."
  value       = module.retinue
}
