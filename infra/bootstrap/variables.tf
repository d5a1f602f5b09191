variable "region" {
  description = "AWS region."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be an AWS region, such as eu-west-1."
  }
}

variable "pull_account_ids" {
  description = "AWS accounts whose environments may pull images: they set image_uri."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for account in var.pull_account_ids : can(regex("^[0-9]{12}$", account))])
    error_message = "pull_account_ids must be AWS accounts, of 12 digits each."
  }
}

variable "findings_topic_arn" {
  description = "ARN of an SNS topic for high and critical findings of Amazon Inspector, which then scans all images of the account. Its policy must let EventBridge publish, without conditions. Null scans Debian's packages alone, at each push."
  type        = string
  default     = null

  validation {
    condition     = var.findings_topic_arn == null || can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:", var.findings_topic_arn))
    error_message = "findings_topic_arn must be null or the ARN of an SNS topic."
  }
}

variable "github" {
  description = "GitHub repository whose workflows deploy: repository, OWNER/NAME; region, the one whose bootstrap creates the roles, because they are the account's, in all regions; provider_arn of the account's OpenID provider for GitHub, if it exists; boundary_arn of a permissions boundary. Null creates no roles."
  type = object({
    repository   = string
    region       = string
    provider_arn = optional(string)
    boundary_arn = optional(string)
  })
  default = null

  validation {
    condition     = var.github == null ? true : can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github.repository))
    error_message = "github.repository must be OWNER/NAME."
  }

  validation {
    condition     = var.github == null ? true : can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.github.region))
    error_message = "github.region must be an AWS region, such as eu-west-1."
  }
}
