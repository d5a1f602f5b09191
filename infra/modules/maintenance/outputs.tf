output "log_group_name" {
  description = "Log group of the task, with the made and dropped partitions."
  value       = module.task.log_group_name
}
