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

variable "cluster_name" {
  description = "Name of the ECS cluster."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,255}$", var.cluster_name))
    error_message = "cluster_name must be the name of an ECS cluster, not its ARN."
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

variable "analyst" {
  description = "The login that may only read: the history's URL with it, and the ARN on which it may sign in."
  type = object({
    url       = string
    login_arn = string
  })

  validation {
    condition     = startswith(var.analyst.url, "postgresql://") && strcontains(var.analyst.url, "@") && strcontains(var.analyst.url, "sslmode=verify-full")
    error_message = "analyst.url must be a postgresql:// URL with a login that checks the server's certificate (sslmode=verify-full)."
  }

  validation {
    condition     = can(regex("^arn:[a-z-]+:rds-db:[a-z0-9-]+:[0-9]{12}:dbuser:[^/*]+/[^/*]+$", var.analyst.login_arn))
    error_message = "analyst.login_arn must name one login of one database: arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE/LOGIN."
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
