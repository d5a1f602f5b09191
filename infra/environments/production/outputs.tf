output "stack" {
  description = "Everything that make deploy, smoke, logs and status need to know."
  value       = module.stack
}
