variable "name" {
  description = "Name of the bucket, unique in the world; the topic's name begins with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 63 lower-case letters, digits and hyphens (no dots: they break TLS)."
  }
}

variable "key_arn" {
  description = "ARN of the KMS key that encrypts images and the topic's messages."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.key_arn))
    error_message = "key_arn must be the ARN of a KMS key."
  }
}

variable "old_version_days" {
  description = "How long a version lives on after it was replaced or deleted, in days."
  type        = number
  default     = 30

  validation {
    condition     = var.old_version_days >= 1 && floor(var.old_version_days) == var.old_version_days
    error_message = "old_version_days must be a whole number of days, 1 or more."
  }
}

variable "expire_days" {
  description = "After how many days images are deleted; null keeps them."
  type        = number
  default     = null

  validation {
    condition     = var.expire_days == null || try(var.expire_days >= 1 && floor(var.expire_days) == var.expire_days, false)
    error_message = "expire_days must be null or a whole number of days, 1 or more."
  }
}

variable "access_log_bucket" {
  description = "Name of a bucket for S3's access log; null for none (CloudTrail's data events tell the same)."
  type        = string
  default     = null

  validation {
    condition     = var.access_log_bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.access_log_bucket))
    error_message = "access_log_bucket must be null or the name of a bucket."
  }
}

variable "force_destroy" {
  description = "Whether destroying the bucket deletes the images in it."
  type        = bool
  default     = false
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

variable "boundary_arn" {
  description = "ARN of the policy that is the permissions boundary of each role. Null for none."
  type        = string
  default     = null

  validation {
    condition     = var.boundary_arn == null || can(regex("^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/", var.boundary_arn))
    error_message = "boundary_arn must be null or the ARN of an IAM policy."
  }
}
