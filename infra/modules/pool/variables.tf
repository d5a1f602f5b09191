variable "task" {
  description = "Attributes that the environment's tasks share. modules/task describes and checks each."
  type = object({
    name_prefix        = string
    image              = string
    repository_arn     = optional(string)
    cluster            = object({ arn = string, name = string })
    network            = object({ subnet_ids = list(string), security_group_id = string })
    key_arn            = string
    log_retention_days = optional(number, 30)
  })
}

variable "pool_name" {
  description = "Name of the pool."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", var.pool_name))
    error_message = "A pool's name must be 2 to 20 lower-case letters, digits and hyphens, such as labels; \"${var.pool_name}\" is not."
  }

  validation {
    condition     = !contains(["maintenance", "migrations", "model-reaper", "network", "operator"], var.pool_name) && !endswith(var.pool_name, "-dead")
    error_message = "\"${var.pool_name}\" is taken: call the pool something else."
  }
}

variable "gpu_capacity_provider" {
  description = "Capacity provider of the pool's GPU instances. Required if config.gpu is true."
  type        = string
  default     = null

  validation {
    condition     = !var.config.gpu || var.gpu_capacity_provider != null
    error_message = "The pool ${var.pool_name} needs a GPU: give gpu_capacity_provider."
  }
}

variable "topic_arn" {
  description = "ARN of the SNS topic that S3 notifies of new images."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:sns:", var.topic_arn))
    error_message = "topic_arn must be the ARN of an SNS topic."
  }
}

variable "bucket_arn" {
  description = "ARN of the bucket with the images."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:s3:::[^/*]+$", var.bucket_arn))
    error_message = "bucket_arn must be the ARN of a bucket, such as arn:aws:s3:::my-images."
  }
}

variable "database" {
  description = "The history: its URL with the workers' login, and the ARN on which they may sign in."
  type = object({
    url       = string
    login_arn = string
  })

  validation {
    condition     = startswith(var.database.url, "postgresql://") && strcontains(var.database.url, "sslmode=verify-full")
    error_message = "database.url must be a postgresql:// URL that checks the server's certificate (sslmode=verify-full)."
  }

  validation {
    condition     = can(regex("^arn:[a-z-]+:rds-db:[a-z0-9-]+:[0-9]{12}:dbuser:[^/*]+/[^/*]+$", var.database.login_arn))
    error_message = "database.login_arn must name one login of one database: arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE/LOGIN."
  }
}

variable "alarm_topic_arn" {
  description = "ARN of the SNS topic that alarms are sent to."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:sns:", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be the ARN of an SNS topic."
  }
}

variable "canary_minutes" {
  description = "Minutes between two canaries. Null uploads none."
  type        = number
  default     = null

  validation {
    condition     = var.canary_minutes == null || contains(range(5, 61), coalesce(var.canary_minutes, 5))
    error_message = "canary_minutes must be null or a whole number from 5 to 60."
  }
}
