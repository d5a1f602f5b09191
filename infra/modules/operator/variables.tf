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

variable "bucket_arns" {
  description = "ARNs of the buckets with the images."
  type        = list(string)

  validation {
    condition     = length(var.bucket_arns) > 0 && alltrue([for arn in var.bucket_arns : can(regex("^arn:[a-z-]+:s3:::[^/*]+$", arn))])
    error_message = "bucket_arns must hold at least one ARN of a bucket, such as arn:aws:s3:::my-images."
  }
}

variable "queue_arns" {
  description = "ARNs of the pools' queues."
  type        = list(string)

  validation {
    condition     = length(var.queue_arns) > 0 && alltrue([for arn in var.queue_arns : can(regex("^arn:[a-z-]+:sqs:[a-z0-9-]+:[0-9]{12}:[^*]+$", arn))])
    error_message = "queue_arns must be ARNs of SQS queues, at least one."
  }
}

variable "dead_letter_queue_arns" {
  description = "ARNs of the pools' dead-letter queues."
  type        = list(string)

  validation {
    condition     = length(var.dead_letter_queue_arns) > 0 && alltrue([for arn in var.dead_letter_queue_arns : can(regex("^arn:[a-z-]+:sqs:[a-z0-9-]+:[0-9]{12}:[^*]+$", arn))])
    error_message = "dead_letter_queue_arns must be ARNs of SQS queues, at least one."
  }
}

variable "model_arns" {
  description = "ARNs of the versions of Custom Labels models that `retinue models status` describes."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.model_arns : can(regex("^arn:[a-z-]+:rekognition:[a-z0-9-]+:[0-9]{12}:project/[^/*]+/version/[^/*]+/[0-9]+$", arn))])
    error_message = "model_arns must be ARNs of models' versions, such as arn:aws:rekognition:eu-west-1:123456789012:project/birds/version/v1/1700000000000."
  }
}

variable "archive" {
  description = "The archive: its URI, and the statements of an IAM policy that let a task read it (modules/archive). Null: none."
  type = object({
    uri = string
    read_statements = list(object({
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
