variable "name" {
  description = "Prefix of all names, such as retinue-production."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,26}$", var.name))
    error_message = "name must have up to 27 lower-case letters, digits and hyphens, and begin with a letter."
  }
}

variable "key_arn" {
  description = "ARN of the KMS key that encrypts the files."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.key_arn))
    error_message = "key_arn must be the ARN of a KMS key."
  }
}

variable "detectors" {
  description = "Names of the detectors whose detections Athena reads. Others are archived too."
  type        = list(string)

  validation {
    condition     = try(length(var.detectors) > 0 && alltrue([for name in var.detectors : can(regex("^[A-Za-z0-9._~-]+$", name))]), false)
    error_message = "detectors must list one name or more, of letters, digits and -._~."
  }
}

variable "first_month" {
  description = "The first month that Athena looks for, such as 2026-01."
  type        = string
  default     = "2020-01"

  validation {
    condition     = can(regex("^[0-9]{4}-(0[1-9]|1[0-2])$", var.first_month))
    error_message = "first_month must be a month, such as 2026-01."
  }
}

variable "max_query_gb" {
  description = "How many GB one query of Athena may read, which bounds its price."
  type        = number
  default     = 100

  validation {
    condition     = var.max_query_gb >= 1 && floor(var.max_query_gb) == var.max_query_gb
    error_message = "max_query_gb must be a whole number, 1 or more."
  }
}

variable "force_destroy" {
  description = "Whether to delete the bucket with its files."
  type        = bool
  default     = false
}
