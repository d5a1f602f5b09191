output "owner" {
  description = "The owner's way in: the URL without a login, the ARN of the secret with username and password, which RDS rotates, and the KMS key of the secret if it isn't key_arn."
  value = {
    url            = "postgresql://${local.place}"
    secret_arn     = local.server.secret_arn
    secret_key_arn = local.server.secret_key_arn
  }
}

output "worker" {
  description = "The workers' way in: the URL with their login, and the ARN on which rds-db:connect lets them sign in. There is no password."
  value = {
    url       = "postgresql://${local.worker}@${local.place}"
    login_arn = "${local.login_arn_prefix}/${local.worker}"
  }
}

output "analyst" {
  description = "Access for analysts: the URL with the read-only login, and the ARN for rds-db:connect."
  value = {
    url       = "postgresql://${local.analyst}@${local.place}"
    login_arn = "${local.login_arn_prefix}/${local.analyst}"
  }
}

output "reviewer" {
  description = "The way in for the console's reviews: the URL with the login that may call their functions and nothing else, and the ARN on which rds-db:connect lets it sign in."
  value = {
    url       = "postgresql://${local.reviewer}@${local.place}"
    login_arn = "${local.login_arn_prefix}/${local.reviewer}"
  }
}

output "security_group_id" {
  description = "Security group of the database."
  value       = local.security_group_id
}

output "identifier" {
  description = "Identifier of the instance, or of the Aurora cluster."
  value       = local.server.identifier
}

output "analyst_policy_arn" {
  description = "ARN of the policy to attach to analysts."
  value       = aws_iam_policy.analyst.arn
}

output "analyst_policy_arns" {
  description = "ARNs of the policies of single analysts, by name."
  value       = { for name, policy in aws_iam_policy.analysts : name => policy.arn }
}
