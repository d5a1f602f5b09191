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

variable "pool_name" {
  description = "Name of the pool."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", var.pool_name))
    error_message = "A pool's name must be 2 to 20 lower-case letters, digits and hyphens, such as labels; \"${var.pool_name}\" is not."
  }

  validation {
    condition     = !contains(["console", "events", "maintenance", "migrations", "model-reaper", "network", "operator"], var.pool_name) && !endswith(var.pool_name, "-dead")
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

variable "events" {
  description = "How the pool hears of images: ARNs of SNS topics that buckets notify, and buckets whose events come through EventBridge, with their accounts; each by a name."
  type = object({
    topic_arns = optional(map(string), {})
    buckets    = optional(map(object({ name = string, account_id = string })), {})
  })

  validation {
    condition     = length(var.events.topic_arns) + length(var.events.buckets) > 0 && alltrue([for arn in values(var.events.topic_arns) : can(regex("^arn:[a-z-]+:sns:", arn))])
    error_message = "events needs at least one topic or bucket. Topics are ARNs of SNS topics."
  }
}

variable "images" {
  description = "Buckets with images, and the KMS keys of these and other objects that workers read, if it isn't task.key_arn."
  type = object({
    bucket_arns = list(string)
    key_arns    = optional(list(string), [])
  })

  validation {
    condition     = length(var.images.bucket_arns) > 0 && alltrue([for arn in var.images.bucket_arns : can(regex("^arn:[a-z-]+:s3:::[^/*]+$", arn))])
    error_message = "images.bucket_arns must hold at least one ARN of a bucket, such as arn:aws:s3:::my-images."
  }

  validation {
    condition     = alltrue([for arn in var.images.key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", arn))])
    error_message = "images.key_arns must be ARNs of KMS keys."
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
