output "images" {
  description = "The images: cpu, and cuda if it is needed."
  value       = { cpu = local.cpu, cuda = local.cuda }
}

output "repository_arn" {
  description = "ARN of the ECR repository; null if the image is from another registry."
  value       = one(data.aws_ecr_repository.this[*].arn)
}
