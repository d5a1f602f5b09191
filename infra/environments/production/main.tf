# The real thing: two zones for everything, a standby database, and nothing with data can be
# destroyed by mistake.

locals {
  environment = "production"
}

module "images" {
  source = "../../modules/image_reference"

  repository_name = var.repository_name
  tag             = var.image_tag
  uri             = var.image_uri
  cuda            = anytrue([for pool in values(var.pools) : pool.gpu])
}

module "stack" {
  source = "../../modules/stack"

  name                = "retinue-${local.environment}"
  images              = module.images.images
  repository_arn      = module.images.repository_arn
  pools               = var.pools
  existing_vpc        = var.existing_vpc
  endpoint_zone_count = 2
  protect             = true
  model_project_arns  = var.model_project_arns
  keep                = var.keep
  alarm_emails        = var.alarm_emails
  monthly_budget_usd  = var.monthly_budget_usd
  log_retention_days  = 365

  database = {
    instance_class = "db.m7g.large"
    storage_gb     = 100
    max_storage_gb = 1000
    multi_az       = true
    backup_days    = 35
  }
}
