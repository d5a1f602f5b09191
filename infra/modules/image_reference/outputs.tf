output "images" {
  description = "The images: cpu, and cuda if it is needed."
  value       = { cpu = local.cpu, cuda = local.cuda }
}

output "repository_arn" {
  description = "ARN of the ECR repository, which tasks must be allowed to pull from; null if the image is from another registry."
  value = local.ecr == null ? one(data.aws_ecr_repository.this[*].arn) : join(":", [
    "arn", data.aws_partition.current.partition, "ecr", local.ecr[1], local.ecr[0], "repository/${local.ecr[2]}",
  ])
}
