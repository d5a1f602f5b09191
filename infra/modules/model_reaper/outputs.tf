output "log_group_name" {
  description = "Where the task says what it stopped."
  value       = module.task.log_group_name
}
