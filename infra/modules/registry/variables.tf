variable "name" {
  description = "Name of the repository."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]+([._/-][a-z0-9]+)*$", var.name)) && length(var.name) >= 2
    error_message = "name must be lower-case letters and digits, joined by dots, hyphens, underscores or slashes."
  }
}

variable "key_arn" {
  description = "ARN of the KMS key that encrypts the images; null for ECR's own."
  type        = string
  default     = null

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.key_arn))
    error_message = "key_arn must be the ARN of a KMS key."
  }
}

variable "environments" {
  description = "Names of the environments that run images. The last 20 that each has deployed are kept, however many images come after them."
  type        = set(string)
  default     = []

  validation {
    condition     = length(var.environments) <= 40 && alltrue([for name in var.environments : can(regex("^[a-z][a-z0-9-]*$", name))])
    error_message = "environments must be up to 40 names of environments, such as production."
  }
}

variable "keep_images" {
  description = "How many images to keep. Deploying goes back no further."
  type        = number
  default     = 60

  validation {
    condition     = var.keep_images >= 4 && var.keep_images <= 1000
    error_message = "keep_images must be between 4 and 1000."
  }
}

variable "force_delete" {
  description = "Whether destroying the repository deletes the images in it."
  type        = bool
  default     = false
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
  description = "ARN of an SNS topic for high and critical findings of Amazon Inspector, which then scans all images of the account. Its policy must let EventBridge publish. Null scans Debian's packages alone, at each push."
  type        = string
  default     = null

  validation {
    condition     = var.findings_topic_arn == null || can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:", var.findings_topic_arn))
    error_message = "findings_topic_arn must be null or the ARN of an SNS topic."
  }
}
