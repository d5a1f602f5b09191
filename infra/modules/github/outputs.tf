output "role_arns" {
  description = "ARNs of the roles: image, plan and deploy."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
}
