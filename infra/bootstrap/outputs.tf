output "state_bucket" {
  description = "Name of the bucket for Terraform's state."
  value       = aws_s3_bucket.state.id
}

output "repository_url" {
  description = "Where to push images."
  value       = module.registry.url
}

output "github_role_arns" {
  description = "Roles for GitHub's variables AWS_IMAGE_ROLE, AWS_PLAN_ROLE and AWS_DEPLOY_ROLE. Null without github."
  value       = one(module.github[*].role_arns)
}
