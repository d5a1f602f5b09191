output "alarm_topic_arn" {
  description = "ARN of the topic that alarms go to."
  value       = local.topic_arn
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}
