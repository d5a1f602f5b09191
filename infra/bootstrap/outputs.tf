output "state_bucket" {
  description = "Name of the bucket for Terraform's state."
  value       = aws_s3_bucket.state.id
}

output "repository_url" {
  description = "Where to push images."
  value       = module.registry.url
}
