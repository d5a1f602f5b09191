output "name" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.id
}

output "arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.this.arn
}

output "topic_arn" {
  description = "ARN of the topic that tells of images created and removed."
  value       = aws_sns_topic.this.arn
}

output "topic_name" {
  description = "Name of the same topic."
  value       = aws_sns_topic.this.name
}
