variable "region" {
  description = "AWS region."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be an AWS region, such as eu-west-1."
  }
}

variable "state_bucket" {
  description = "Name of the bucket for Terraform's state; made of account and region if null."
  type        = string
  default     = null

  validation {
    condition     = var.state_bucket == null || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "state_bucket must be null or 3 to 63 lower-case letters, digits and hyphens."
  }
}

variable "repository_name" {
  description = "Name of the ECR repository."
  type        = string
  default     = "retinue"

  validation {
    condition     = can(regex("^[a-z0-9]+([._/-][a-z0-9]+)*$", var.repository_name))
    error_message = "repository_name must be the name of an ECR repository, such as retinue."
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
  description = "GitHub repository whose workflows deploy: repository, OWNER/NAME; provider_arn of the account's OpenID provider for GitHub, if it exists; boundary_arn of a permissions boundary. Null creates no roles."
  type = object({
    repository   = string
    provider_arn = optional(string)
    boundary_arn = optional(string)
  })
  default = null

  validation {
    condition     = var.github == null || can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", try(var.github.repository, "")))
    error_message = "github.repository must be OWNER/NAME."
  }
}
