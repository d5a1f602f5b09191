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

variable "retention" {
  description = "How long the history is kept: detections_months (whole months besides the current one), raw_responses_days, deleted_images_days (days after an image was removed from S3). Null keeps the first two without limit."
  type = object({
    detections_months   = optional(number)
    raw_responses_days  = optional(number)
    deleted_images_days = optional(number, 30)
  })
  default = {}

  validation {
    condition     = alltrue([for value in values(var.retention) : value == null ? true : value >= 0 && floor(value) == value])
    error_message = "retention must hold whole numbers, 0 or more."
  }

  validation {
    condition     = var.retention.detections_months == null ? true : var.retention.detections_months >= 1
    error_message = "retention.detections_months must be 1 or more."
  }
}

variable "at" {
  description = "When to run, every day, in UTC: hour and minute."
  type        = object({ hour = number, minute = number })
  default     = { hour = 5, minute = 0 } # after the window in which RDS may restart (modules/database)

  validation {
    condition     = var.at.hour >= 0 && var.at.hour <= 23 && var.at.minute >= 0 && var.at.minute <= 59
    error_message = "at must be a time of day: hour 0 to 23, minute 0 to 59."
  }
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

variable "bucket_arns" {
  description = "ARNs of the buckets with the images. The task lists their versions and reads none."
  type        = list(string)

  validation {
    condition     = length(var.bucket_arns) > 0 && alltrue([for arn in var.bucket_arns : can(regex("^arn:[a-z-]+:s3:::[^/*]+$", arn))])
    error_message = "bucket_arns must hold at least one ARN of a bucket, such as arn:aws:s3:::my-images."
  }
}

variable "alarm_topic_arn" {
  description = "ARN of the SNS topic that alarms are sent to."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be the ARN of an SNS topic."
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
