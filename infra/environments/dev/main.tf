# A small environment to try things in: one zone for endpoints, no standby, and it can be destroyed.

locals {
  environment = "dev"
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
  endpoint_zone_count = 1
  protect             = false
  model_project_arns  = var.model_project_arns
  keep                = var.keep
  alarm_emails        = var.alarm_emails
  monthly_budget_usd  = var.monthly_budget_usd
  log_retention_days  = 14

  database = {
    instance_class    = "db.t4g.micro"
    backup_days       = 1
    apply_immediately = true
  }
}
