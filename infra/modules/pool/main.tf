# Workers of one kind: a queue with its dead-letter queue (queue.tf), an ECS service (service.tf)
# that grows and shrinks with the backlog (scaling.tf), their permissions (permissions.tf), how they
# learn of the end of jobs on videos (video.tf), and alarms (alarms.tf).

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  name       = "${var.task.name_prefix}-${var.pool_name}"
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.id

  # Options arrive as text, because Terraform's maps hold one type: 0.5 is "0.5". What reads as JSON
  # (numbers, true, lists) is meant as JSON, and the rest as text.
  detectors = { for detector, options in var.config.detectors : detector => merge(
    { for option, value in options : option => try(jsondecode(value), value) },
    try(local.video_options[detector], {}),
  ) }

  plugin_options = { for name, options in {
    eventbridge = { bus = var.config.event_bus_arn }
  } : name => options if options.bus != null }

  health_port = 8080 # only inside the task: its security group accepts no connections

  environment = merge(
    { for name, value in var.config.settings : "RETINUE_${upper(name)}" => value },
    {
      RETINUE_QUEUE_URL                  = aws_sqs_queue.this.url
      RETINUE_DATABASE_URL               = var.database.url
      RETINUE_DATABASE_AUTH              = "iam"
      RETINUE_DETECTORS                  = jsonencode(local.detectors)
      RETINUE_PRICES                     = jsonencode(merge(var.config.prices, var.config.price_tiers))
      RETINUE_MONTHLY_BUDGETS_USD        = jsonencode(var.config.monthly_budgets_usd)
      RETINUE_ROUTES                     = jsonencode(var.config.routes)
      RETINUE_ISOLATION                  = jsonencode(var.config.isolation)
      RETINUE_HOSTED_MODELS              = jsonencode(var.config.hosted_models)
      RETINUE_PLUGIN_OPTIONS             = jsonencode(local.plugin_options)
      RETINUE_MAX_IN_FLIGHT              = tostring(var.config.max_in_flight)
      RETINUE_VISIBILITY_TIMEOUT_SECONDS = tostring(var.config.visibility_timeout_seconds)
      RETINUE_HEARTBEAT_SECONDS          = tostring(var.config.heartbeat_seconds)
      RETINUE_DETECTOR_TIMEOUT_SECONDS   = tostring(var.config.detector_timeout_seconds)
      RETINUE_SHUTDOWN_GRACE_SECONDS     = tostring(var.config.shutdown_grace_seconds)
      RETINUE_STOP_TIMEOUT_SECONDS       = tostring(var.config.stop_timeout_seconds)
      RETINUE_HEALTH_PORT                = tostring(local.health_port)
      RETINUE_METRICS_NAMESPACE          = local.worker_namespace
      RETINUE_LOG_FORMAT                 = "json" # the metric filters read it
    },
  )
}

module "task" {
  source = "../task"

  task                 = var.task
  purpose              = var.pool_name
  command              = ["worker"]
  cpu                  = var.config.cpu
  memory               = var.config.memory
  gpu_count            = var.config.gpu ? 1 : 0
  stop_timeout_seconds = var.config.stop_timeout_seconds
  environment          = local.environment
  health_port          = local.health_port
}
