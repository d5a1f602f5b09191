# A task that runs once for each deployment: `retinue migrate`. Terraform describes it; `outputs.run`
# is what to give to `aws ecs run-task`.

module "task" {
  source = "../task"

  name               = "${var.name}/migrations"
  image              = var.image
  repository_arn     = var.repository_arn
  command            = ["migrate"]
  key_arn            = var.key_arn
  log_retention_days = var.log_retention_days

  environment = { RETINUE_DATABASE_URL = var.database.url }
  secrets = {
    PGUSER     = "${var.database.secret_arn}:username::"
    PGPASSWORD = "${var.database.secret_arn}:password::"
  }
}
