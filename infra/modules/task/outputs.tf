output "definition_arn" {
  description = "ARN of the task definition, revision and all."
  value       = aws_ecs_task_definition.this.arn
}

output "family" {
  description = "Family of the task definition."
  value       = aws_ecs_task_definition.this.family
}

output "task_role" {
  description = "Role of the program: name and ARN."
  value       = { name = aws_iam_role.task.name, arn = aws_iam_role.task.arn }
}

output "execution_role_arn" {
  description = "ARN of the role by which ECS starts the task."
  value       = aws_iam_role.execution.arn
}

output "log_group_name" {
  description = "Name of the log group."
  value       = aws_cloudwatch_log_group.this.name
}

output "scheduled" {
  description = "What modules/schedule wants to know of a task."
  value = {
    definition_arn     = aws_ecs_task_definition.this.arn
    role_arn           = aws_iam_role.task.arn
    execution_role_arn = aws_iam_role.execution.arn
    log_group_name     = aws_cloudwatch_log_group.this.name
  }
}
