output "url" {
  description = "URL of the history without a login: libpq takes PGUSER and PGPASSWORD for that. The server's certificate is checked."
  value       = "postgresql://${aws_db_instance.this.address}:${aws_db_instance.this.port}/${local.name}?sslmode=verify-full&sslrootcert=${var.certificate_bundle}"
}

output "secret_arn" {
  description = "ARN of the owner's secret in Secrets Manager: JSON with username and password."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}

output "identifier" {
  description = "Identifier of the instance."
  value       = aws_db_instance.this.identifier
}

output "login_arn_prefix" {
  description = "What rds-db:connect is allowed on: this, a slash and the login's name."
  value       = local.login_arn_prefix
}

output "analyst_policy_arn" {
  description = "ARN of the policy to attach to people who ask questions."
  value       = aws_iam_policy.analyst.arn
}
