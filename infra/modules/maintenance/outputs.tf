output "log_group_name" {
  description = "Where the task says what it made and dropped."
  value       = module.task.log_group_name
}
