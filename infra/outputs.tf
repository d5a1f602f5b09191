output "bucket_name" {
  description = "Bucket to upload images to. Null without create_bucket."
  value       = one(module.image_bucket[*].name)
}

output "cluster_name" {
  description = "Name of the ECS cluster."
  value       = local.cluster.name
}

output "pools" {
  description = "Queue, dead-letter queue, service, task definition and log group of each pool."
  value = { for name, pool in module.pool : name => {
    queue_url             = pool.queue.url
    dead_letter_queue_url = pool.dead_letter_queue.url
    service_name          = pool.service_name
    task_definition_arn   = pool.task_definition_arn
    log_group_name        = pool.log_group_name
  } }
}

output "console" {
  description = "The console's service, task definition and log group, and the name that public_url's host must be an alias of in DNS. Null without a console."
  value = one([for console in module.console : {
    service_name           = console.service_name
    task_definition_arn    = console.task_definition_arn
    log_group_name         = console.log_group_name
    load_balancer_dns_name = console.load_balancer_dns_name
  }])
}

output "migrate" {
  description = "Input for `aws ecs run-task --cli-input-json` that migrates the database."
  value       = module.migrations.run
}

output "operator" {
  description = "Input for `aws ecs run-task --cli-input-json` that runs a command of retinue; `make retinue` does it."
  value       = module.operator.run
}

output "maintenance" {
  description = "Input for `aws ecs run-task --cli-input-json` that runs `retinue maintain` now; `make retinue ARGS=maintain` does it."
  value       = module.maintenance.run
}

output "database_identifier" {
  description = "Identifier of the database, an RDS instance or an Aurora cluster."
  value       = module.database.identifier
}

output "analyst_policy_arn" {
  description = "ARN of the policy that lets an analyst sign in to the database. Attach it to their roles."
  value       = module.database.analyst_policy_arn
}

output "alarm_topic_arn" {
  description = "ARN of the SNS topic that alarms are sent to."
  value       = module.observability.alarm_topic_arn
}

output "dashboard_url" {
  description = "Address of the CloudWatch dashboard."
  value       = "https://${data.aws_region.current.id}.console.aws.amazon.com/cloudwatch/home?region=${data.aws_region.current.id}#dashboards:name=${module.observability.dashboard_name}"
}

output "analyst_policy_arns" {
  description = "ARNs of the policies that let single analysts sign in, by name. Attach each to that person's role."
  value       = module.database.analyst_policy_arns
}

output "reader_role_arns" {
  description = "Roles that read images: the policies of buckets and keys in other accounts must allow them."
  value       = concat([for pool in module.pool : pool.task_role_arn], [for console in module.console : console.task_role_arn])
}

output "image_tag" {
  description = "Tag of the deployed container image. Null with image_uri."
  value       = var.image_tag
}
