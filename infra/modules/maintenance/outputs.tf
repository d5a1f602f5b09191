output "run" {
  description = "Parameters for `aws ecs run-task --cli-input-json`."
  value = jsonencode({
    cluster        = var.task.cluster.name
    taskDefinition = module.task.definition.arn
    launchType     = "FARGATE"
    networkConfiguration = { awsvpcConfiguration = {
      subnets        = var.task.network.subnet_ids
      securityGroups = [var.task.network.security_group_id]
      assignPublicIp = var.task.network.assign_public_ip ? "ENABLED" : "DISABLED"
    } }
  })
}

output "log_group_name" {
  description = "Log group of the task, with the made and dropped partitions."
  value       = module.task.log_group_name
}
