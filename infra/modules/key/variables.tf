variable "name" {
  description = "Name of the environment; the key's alias is alias/NAME."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, such as retinue-dev."
  }
}

variable "deletion_window_days" {
  description = "How long a deleted key can be restored, in days. Without the key, all encrypted data is lost."
  type        = number
  default     = 30

  validation {
    condition     = var.deletion_window_days >= 7 && var.deletion_window_days <= 30
    error_message = "deletion_window_days must be between 7 and 30."
  }
}

variable "topic_account_ids" {
  description = "Other accounts, whose SNS topics send messages to queues that this key encrypts."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for account in var.topic_account_ids : can(regex("^[0-9]{12}$", account))])
    error_message = "topic_account_ids must be AWS accounts, of 12 digits each."
  }
}
