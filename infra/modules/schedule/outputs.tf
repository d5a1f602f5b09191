output "name" {
  description = "Name of the schedule; the metric namespace is Retinue/NAME."
  value       = local.name
}

output "expression" {
  description = "When the task runs."
  value       = aws_scheduler_schedule.this.schedule_expression
}
