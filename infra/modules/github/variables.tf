variable "repository" {
  description = "GitHub repository whose workflows assume the roles, OWNER/NAME."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository must be OWNER/NAME."
  }
}

variable "environments" {
  description = "GitHub environments whose jobs can deploy."
  type        = set(string)

  validation {
    condition     = length(var.environments) > 0 && alltrue([for name in var.environments : can(regex("^[a-z][a-z0-9-]*$", name))])
    error_message = "environments must be names of environments, such as production."
  }
}

variable "provider_arn" {
  description = "ARN of the account's OpenID provider for GitHub, of which an account has one. Null creates it."
  type        = string
  default     = null

  validation {
    condition     = var.provider_arn == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:oidc-provider/", var.provider_arn))
    error_message = "provider_arn must be null or the ARN of an OpenID provider."
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
