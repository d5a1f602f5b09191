output "stack" {
  description = "Everything that make deploy, smoke, logs and status need to know."
  value       = module.stack
}

# Apart from the rest: it is known as soon as the migrations' task is there, before any service.
output "migrate" {
  description = "Parameters for `aws ecs run-task --cli-input-json` that migrate the database."
  value       = module.stack.migrate
}
