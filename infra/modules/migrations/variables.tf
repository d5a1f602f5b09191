variable "task" {
  description = "Attributes that the environment's tasks share. modules/task describes and checks each."
  type = object({
    name_prefix        = string
    image              = string
    repository_arn     = optional(string)
    cluster            = object({ arn = string, name = string })
    network            = object({ subnet_ids = list(string), security_group_id = string, assign_public_ip = optional(bool, false) })
    key_arn            = string
    log_retention_days = optional(number, 30)
    boundary_arn       = optional(string)
    arm64              = optional(bool, false)
  })
}

variable "database" {
  description = "The history: its URL without a login, the ARN of its owner's secret, and the KMS key of the secret if it isn't task.key_arn."
  type = object({
    url            = string
    secret_arn     = string
    secret_key_arn = optional(string)
  })

  validation {
    condition     = startswith(var.database.url, "postgresql://") && strcontains(var.database.url, "sslmode=verify-full")
    error_message = "database.url must be a postgresql:// URL that checks the server's certificate (sslmode=verify-full)."
  }
}

variable "analyst" {
  description = "The login that may only read: the history's URL with it, and the ARN on which it may sign in."
  type = object({
    url       = string
    login_arn = string
  })

  validation {
    condition     = startswith(var.analyst.url, "postgresql://") && strcontains(var.analyst.url, "@") && strcontains(var.analyst.url, "sslmode=verify-full")
    error_message = "analyst.url must be a postgresql:// URL with a login that checks the server's certificate (sslmode=verify-full)."
  }

  validation {
    condition     = can(regex("^arn:[a-z-]+:rds-db:[a-z0-9-]+:[0-9]{12}:dbuser:[^/*]+/[^/*]+$", var.analyst.login_arn))
    error_message = "analyst.login_arn must name one login of one database: arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE/LOGIN."
  }
}

variable "analysts" {
  description = "Names of people with a login of their own, analyst_NAME."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.analysts : can(regex("^[a-z][a-z0-9_]{0,39}$", name))])
    error_message = "analysts must be names of up to 40 lower-case letters, digits and underscores."
  }
}

variable "analyst_connections" {
  description = "Maximum number of concurrent connections of each of them."
  type        = number
  default     = 5

  validation {
    condition     = var.analyst_connections >= 1 && var.analyst_connections <= 100 && floor(var.analyst_connections) == var.analyst_connections
    error_message = "analyst_connections must be a whole number from 1 to 100."
  }
}

variable "collection_ids" {
  description = "Face collections from which the owner forgets people."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.collection_ids : can(regex("^[a-zA-Z0-9_.-]+$", id))])
    error_message = "collection_ids must be ids of face collections."
  }
}

variable "model_arns" {
  description = "ARNs of the versions of Custom Labels models that `retinue models stop` stops."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.model_arns : can(regex("^arn:[a-z-]+:rekognition:[a-z0-9-]+:[0-9]{12}:project/[^/*]+/version/[^/*]+/[0-9]+$", arn))])
    error_message = "model_arns must be ARNs of models' versions, such as arn:aws:rekognition:eu-west-1:123456789012:project/birds/version/v1/1700000000000."
  }
}

variable "archive" {
  description = "The archive: its URI, and the statements of an IAM policy that let a task write it (modules/archive). Null: none."
  type = object({
    uri = string
    write_statements = list(object({
      Sid       = string
      Effect    = string
      Action    = list(string)
      Resource  = list(string)
      Condition = optional(map(map(string)))
    }))
  })
  default = null

  validation {
    condition     = var.archive == null ? true : startswith(var.archive.uri, "s3://")
    error_message = "archive.uri must begin with s3://."
  }
}
