# One environment of Retinue, from the image bucket to rows in PostgreSQL. Its values are in
# environments/NAME.tfvars.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  name = "retinue-${var.environment}"

  # Globally unique, and known before the bucket exists: the network's policies name it.
  bucket_name = coalesce(var.bucket_name, "${local.name}-images-${data.aws_caller_identity.current.account_id}-${data.aws_region.current.id}")
  gpu_pools   = { for name, pool in var.pools : name => pool if pool.gpu }
  key_arn     = var.existing_key_arn != null ? var.existing_key_arn : module.key[0].arn

  # The buckets with images, and the keys of those that are encrypted with another key.
  images = {
    bucket_arns = [
      for name in concat(var.create_bucket ? [local.bucket_name] : [], [for source in values(var.sources) : source.bucket_name]) :
      "arn:${data.aws_partition.current.partition}:s3:::${name}"
    ]
    key_arns = distinct(compact([for source in values(var.sources) : source.key_arn]))
  }

  # Regions without Rekognition run local models.
  uses_rekognition = length(var.model_project_arns) > 0 || anytrue([for name in flatten([for pool in values(var.pools) : keys(pool.detectors)]) : startswith(name, "rekognition-")])

  # Custom Labels models, which commands of operators look at and stop.
  model_arns = compact(flatten([for pool in values(var.pools) : [for options in values(pool.detectors) : try(options.project_version_arn, "")]]))

  # How the pools hear of images: from topics, and from EventBridge.
  events = {
    topic_arns = merge(
      { for bucket in module.image_bucket : "own" => bucket.topic_arn },
      # By ARN: several buckets may notify one topic, to which a queue can be subscribed once.
      { for arn in distinct(compact([for source in values(var.sources) : source.topic_arn])) : arn => arn },
    )
    buckets = { for name, source in var.sources : name => {
      name       = source.bucket_name
      account_id = coalesce(source.account_id, data.aws_caller_identity.current.account_id)
    } if source.topic_arn == null }
  }
  topic_accounts = setsubtract([for source in values(var.sources) : split(":", source.topic_arn)[4] if source.topic_arn != null], [data.aws_caller_identity.current.account_id])

  network = {
    subnet_ids        = module.network.subnet_ids
    security_group_id = module.network.worker_security_group_id
    assign_public_ip  = module.network.assign_public_ip
  }

  cluster = var.existing_cluster != null ? {
    arn  = data.aws_ecs_cluster.existing[0].arn
    name = var.existing_cluster.name
    } : {
    arn  = aws_ecs_cluster.this[0].arn
    name = aws_ecs_cluster.this[0].name
  }

  # Without the alarms' topic: it comes with the services, and migrations run before there are any.
  task = {
    name_prefix        = local.name
    image              = module.image_reference.images.cpu
    repository_arn     = module.image_reference.repository_arn
    cluster            = local.cluster
    network            = local.network
    key_arn            = local.key_arn
    log_retention_days = var.log_retention_days
    boundary_arn       = var.permissions_boundary_arn
    arm64              = var.arm64
  }
}

module "image_reference" {
  source = "./modules/image_reference"

  repository_name = "retinue" # bootstrap/ creates it
  tag             = var.image_tag
  uri             = var.image_uri
  cuda            = length(local.gpu_pools) > 0
  arm64           = var.arm64
}

module "key" {
  source = "./modules/key"
  count  = var.existing_key_arn == null ? 1 : 0

  name                 = local.name
  topic_account_ids    = local.topic_accounts
  deletion_window_days = var.protect ? 30 : 7
}

module "network" {
  source = "./modules/network"

  name                = local.name
  existing            = var.existing_vpc
  cidr                = var.vpc_cidr
  zone_count          = var.zone_count
  zone_ids            = var.zone_ids
  endpoint_zone_count = var.endpoint_zone_count
  egress              = var.egress
  container_instances = length(local.gpu_pools) > 0
  rekognition         = local.uses_rekognition
  event_buses         = anytrue([for pool in values(var.pools) : pool.event_bus_arn != null])
  bucket_arns         = local.images.bucket_arns
  archive_bucket_arns = module.archive[*].bucket_arn
  objects = distinct(compact(flatten([for pool in values(var.pools) : [for options in values(pool.detectors) : [
    try(options.model, ""), try(jsondecode(options.objects).model, ""), try(options.reference_image, ""),
  ]]])))
  boundary_arn       = var.permissions_boundary_arn
  key_arn            = local.key_arn
  log_retention_days = var.log_retention_days
}

module "image_bucket" {
  source = "./modules/image_bucket"
  count  = var.create_bucket ? 1 : 0

  name              = local.bucket_name
  key_arn           = local.key_arn
  boundary_arn      = var.permissions_boundary_arn
  expire_days       = var.image_expire_days
  access_log_bucket = var.access_log_bucket
  force_destroy     = !var.protect
  canary_minutes    = var.canary_minutes
}

module "database" {
  source = "./modules/database"

  name                        = local.name
  existing                    = var.existing_database
  boundary_arn                = var.permissions_boundary_arn
  vpc_id                      = module.network.vpc_id
  subnet_ids                  = module.network.subnet_ids
  client_security_group_ids   = merge(var.database_clients.security_group_ids, { workers = module.network.worker_security_group_id })
  client_cidr_blocks          = var.database_clients.cidr_blocks
  analysts                    = var.analysts
  key_arn                     = local.key_arn
  engine_version              = var.database.engine_version
  instance_class              = var.database.instance_class
  storage_gb                  = var.database.storage_gb
  max_storage_gb              = var.database.max_storage_gb
  multi_az                    = var.database.multi_az
  backup_days                 = var.database.backup_days
  allow_major_version_upgrade = var.database.allow_major_version_upgrade
  apply_immediately           = var.database.apply_immediately
  deletion_protection         = var.protect
  skip_final_snapshot         = !var.protect
  log_retention_days          = var.log_retention_days
}

# Container Insights would otherwise create this log group, unencrypted and without expiry.
resource "aws_cloudwatch_log_group" "container_insights" {
  # checkov:skip=CKV_AWS_338:each environment sets its own retention; production keeps a year
  count = var.existing_cluster == null ? 1 : 0

  name              = "/aws/ecs/containerinsights/${local.name}/performance"
  retention_in_days = var.log_retention_days
  kms_key_id        = local.key_arn
}

resource "aws_ecs_cluster" "this" {
  count = var.existing_cluster == null ? 1 : 0

  name = local.name

  # Scaling reads RunningTaskCount.
  setting {
    name  = "containerInsights"
    value = "enabled"
  }

  depends_on = [aws_cloudwatch_log_group.container_insights]
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  count = var.existing_cluster == null ? 1 : 0

  cluster_name       = aws_ecs_cluster.this[0].name
  capacity_providers = concat(["FARGATE", "FARGATE_SPOT"], [for pool in module.gpu_capacity : pool.name])
}

data "aws_ecs_cluster" "existing" {
  count = var.existing_cluster == null ? 0 : 1

  cluster_name = var.existing_cluster.name

  lifecycle {
    postcondition {
      condition     = self.status == "ACTIVE" && anytrue([for setting in self.setting : setting.name == "containerInsights" && contains(["enabled", "enhanced"], setting.value)])
      error_message = "The cluster ${var.existing_cluster.name} must be active and have Container Insights: aws ecs update-cluster-settings --cluster ${var.existing_cluster.name} --settings name=containerInsights,value=enabled"
    }
  }
}

# EventBridge brings events of buckets in other accounts, if their owners send them to this account's bus.
resource "aws_cloudwatch_event_permission" "sources" {
  for_each = setsubtract([for bucket in values(local.events.buckets) : bucket.account_id], [data.aws_caller_identity.current.account_id])

  principal    = each.key
  statement_id = "${local.name}-${each.key}"
}

module "gpu_capacity" {
  source   = "./modules/gpu_capacity"
  for_each = var.existing_cluster == null ? local.gpu_pools : {}

  name                 = "${local.name}-${each.key}"
  cluster_name         = local.name
  boundary_arn         = var.permissions_boundary_arn
  network              = local.network
  instance_types       = each.value.gpu_instance_types
  max                  = each.value.max
  spot_share           = each.value.spot_share
  stop_timeout_seconds = each.value.stop_timeout_seconds
}

module "migrations" {
  source = "./modules/migrations"

  task     = local.task
  database = module.database.owner
  analyst  = module.database.analyst

  collection_ids      = compact(flatten([for pool in values(var.pools) : [for options in values(pool.detectors) : try(options.collection_id, "")]]))
  model_arns          = local.model_arns
  analysts            = var.analysts
  analyst_connections = var.analyst_connections
  archive             = one(module.archive)
}

module "archive" {
  source = "./modules/archive"
  count  = var.archive == null ? 0 : 1

  name          = local.name
  key_arn       = local.key_arn
  detectors     = var.archive.detectors
  first_month   = var.archive.first_month
  max_query_gb  = var.archive.max_query_gb
  force_destroy = !var.protect
}

module "maintenance" {
  source = "./modules/maintenance"

  task            = local.task
  database        = module.database.owner
  retention       = var.retention
  archive         = one(module.archive)
  bucket_arns     = local.images.bucket_arns
  alarm_topic_arn = module.observability.alarm_topic_arn
}

module "pool" {
  source   = "./modules/pool"
  for_each = var.pools

  # The cluster's name comes from the capacity providers, so that services wait for them.
  task = merge(local.task, {
    image   = each.value.gpu ? module.image_reference.images.cuda : local.task.image
    cluster = merge(local.cluster, { name = var.existing_cluster != null ? local.cluster.name : aws_ecs_cluster_capacity_providers.this[0].cluster_name })
  })

  pool_name             = each.key
  config                = each.value
  gpu_capacity_provider = !each.value.gpu ? null : var.existing_cluster != null ? var.existing_cluster.gpu_capacity_provider : module.gpu_capacity[each.key].name
  events                = local.events
  images                = merge(local.images, { key_arns = distinct(concat(local.images.key_arns, var.model_key_arns)) })
  database              = module.database.worker
  alarm_topic_arn       = module.observability.alarm_topic_arn
  canary_minutes        = var.canary_minutes
}

module "operator" {
  source = "./modules/operator"

  task                   = local.task
  analyst                = module.database.analyst
  archive                = one(module.archive)
  bucket_arns            = local.images.bucket_arns
  queue_arns             = [for pool in module.pool : pool.queue.arn]
  dead_letter_queue_arns = [for pool in module.pool : pool.dead_letter_queue.arn]
  model_arns             = local.model_arns
}

module "console" {
  source = "./modules/console"
  count  = var.console == null ? 0 : 1

  task    = local.task
  config  = var.console
  protect = var.protect
  vpc_id  = module.network.vpc_id
  database = {
    security_group_id = module.database.security_group_id
    reader            = module.database.analyst
    reviewer          = module.database.reviewer
  }
  images          = local.images
  alarm_topic_arn = module.observability.alarm_topic_arn
}

module "model_reaper" {
  source = "./modules/model_reaper"
  count  = length(var.model_project_arns) > 0 ? 1 : 0

  task            = local.task
  database        = module.database.worker
  project_arns    = var.model_project_arns
  alarm_topic_arn = module.observability.alarm_topic_arn
}

module "observability" {
  source = "./modules/observability"

  name                    = local.name
  cluster_name            = local.cluster.name
  database_identifier     = var.existing_database == null ? module.database.identifier : null
  database_storage_gb     = var.database.storage_gb
  database_instance_class = var.database.instance_class
  image_topic_name        = one(module.image_bucket[*].topic_name)
  existing_topic_arn      = var.existing_alarm_topic_arn
  key_arn                 = local.key_arn
  alarm_emails            = var.alarm_emails
  monthly_budget_usd      = var.monthly_budget_usd

  pools = { for name, pool in module.pool : name => {
    queue_name             = pool.queue.name
    dead_letter_queue_name = pool.dead_letter_queue.name
    service_name           = pool.service_name
    metric_namespace       = pool.metric_namespace
  } }
}
