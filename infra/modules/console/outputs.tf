output "service_name" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.this.name
}

output "task_definition_arn" {
  description = "ARN of the task definition."
  value       = module.task.definition.arn
}

output "log_group_name" {
  description = "Log group of the console."
  value       = module.task.log_group_name
}

output "load_balancer_dns_name" {
  description = "Name that the console's own name must be an alias of, in DNS."
  value       = aws_lb.this.dns_name
}

output "task_role_arn" {
  description = "ARN of the role that reads images."
  value       = module.task.task_role.arn
}
