output "vpc_id" {
  description = "Id of the VPC."
  value       = local.vpc_id
}

output "subnet_ids" {
  description = "Ids of the private subnets."
  value       = local.subnet_ids
}

output "worker_security_group_id" {
  description = "Security group of the tasks."
  value       = aws_security_group.worker.id
}

output "assign_public_ip" {
  description = "Whether tasks need a public address to reach AWS."
  value       = local.own && var.egress == "public"
}
