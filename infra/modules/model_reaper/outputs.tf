output "log_group_name" {
  description = "Log group of the task, with the stopped models."
  value       = module.task.log_group_name
}
