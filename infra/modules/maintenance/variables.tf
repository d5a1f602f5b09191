variable "name" {
  description = "Name of the environment."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, such as retinue-dev."
  }
}

variable "image" {
  description = "Container image, pinned by digest or tag."
  type        = string

  validation {
    condition     = can(regex("(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]*)$", var.image))
    error_message = "image must name a digest or a tag."
  }
}

variable "repository_arn" {
  description = "ARN of the ECR repository that the image comes from; null for another registry."
  type        = string
  default     = null

  validation {
    condition     = var.repository_arn == null || can(regex("^arn:[a-z-]+:ecr:[a-z0-9-]+:[0-9]{12}:repository/", var.repository_arn))
    error_message = "repository_arn must be null or the ARN of an ECR repository."
  }
}

variable "cluster_arn" {
  description = "ARN of the ECS cluster."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:ecs:[a-z0-9-]+:[0-9]{12}:cluster/", var.cluster_arn))
    error_message = "cluster_arn must be the ARN of an ECS cluster."
  }
}

variable "keep" {
  description = "How long things are kept: detections_months (whole months beside the current one), raw_responses_days, deleted_images_days (after an image was removed from S3). null keeps the first two for ever."
  type = object({
    detections_months   = optional(number)
    raw_responses_days  = optional(number)
    deleted_images_days = optional(number, 30)
  })
  default = {}

  validation {
    condition     = alltrue([for value in values(var.keep) : value == null ? true : value >= 0 && floor(value) == value])
    error_message = "keep must hold whole numbers, 0 or more."
  }

  validation {
    condition     = var.keep.detections_months == null ? true : var.keep.detections_months >= 1
    error_message = "keep.detections_months must be 1 or more."
  }
}

variable "at" {
  description = "When to run, every day, in UTC: hour and minute."
  type        = object({ hour = number, minute = number })
  default     = { hour = 3, minute = 30 }

  validation {
    condition     = var.at.hour >= 0 && var.at.hour <= 23 && var.at.minute >= 0 && var.at.minute <= 59
    error_message = "at must be a time of day: hour 0 to 23, minute 0 to 59."
  }
}

variable "network" {
  description = "Where the task runs: subnets and security group."
  type = object({
    subnet_ids        = list(string)
    security_group_id = string
  })

  validation {
    condition     = length(var.network.subnet_ids) > 0
    error_message = "network.subnet_ids must name at least one subnet."
  }
}

variable "database" {
  description = "The history: its URL without a login, and the ARN of its owner's secret."
  type = object({
    url        = string
    secret_arn = string
  })

  validation {
    condition     = startswith(var.database.url, "postgresql://") && strcontains(var.database.url, "sslmode=verify-full")
    error_message = "database.url must be a postgresql:// URL that checks the server's certificate (sslmode=verify-full)."
  }
}

variable "key_arn" {
  description = "ARN of the KMS key that encrypts the log and the secret."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.key_arn))
    error_message = "key_arn must be the ARN of a KMS key."
  }
}

variable "log_retention_days" {
  description = "How long the log is kept, in days."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days must be a number that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}

variable "alarm_topic_arn" {
  description = "ARN of the topic that people are told by."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be the ARN of an SNS topic."
  }
}
