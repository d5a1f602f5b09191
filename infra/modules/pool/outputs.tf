output "queue" {
  description = "The queue: name, URL and ARN."
  value       = { name = aws_sqs_queue.this.name, url = aws_sqs_queue.this.url, arn = aws_sqs_queue.this.arn }
}

output "dead_letter_queue" {
  description = "The dead-letter queue: name, URL and ARN."
  value       = { name = aws_sqs_queue.dead.name, url = aws_sqs_queue.dead.url, arn = aws_sqs_queue.dead.arn }
}

output "service_name" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.this.name
}

output "task_definition_arn" {
  description = "ARN of the task definition, revision and all."
  value       = module.task.definition.arn
}

output "log_group_name" {
  description = "Where the workers log."
  value       = module.task.log_group_name
}

output "metric_namespace" {
  description = "CloudWatch namespace of the metrics that are counted in the log."
  value       = local.namespace
}

output "task_role_arn" {
  description = "ARN of the role that reads images."
  value       = module.task.task_role.arn
}
