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

output "definition" {
  description = "The task definition: ARN with its revision, the ARNs of its two roles, the name of its log group."
  value = {
    arn                = aws_ecs_task_definition.this.arn
    role_arn           = aws_iam_role.task.arn
    execution_role_arn = aws_iam_role.execution.arn
    log_group_name     = aws_cloudwatch_log_group.this.name
  }
}
