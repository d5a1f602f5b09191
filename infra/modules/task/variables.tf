variable "name" {
  description = "Name of the task: ENVIRONMENT/PURPOSE. It names the log group and the family."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]+/[a-z][a-z0-9-]*[a-z0-9]$", var.name))
    error_message = "name must be ENVIRONMENT/PURPOSE in lower-case letters, digits and hyphens, such as retinue-dev/migrations."
  }
}

variable "image" {
  description = "Container image, pinned by digest or tag: REGISTRY/NAME@sha256:… or REGISTRY/NAME:TAG."
  type        = string

  validation {
    condition     = can(regex("(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]*)$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image must name a digest or a tag other than latest: what latest means changes."
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

variable "command" {
  description = "Arguments of the program `retinue`, which is the image's entry point."
  type        = list(string)

  validation {
    condition     = length(var.command) > 0
    error_message = "command must name a command of retinue, such as [\"worker\"]."
  }
}

variable "cpu" {
  description = "CPU units; 1024 are one core."
  type        = number
  default     = 256

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.cpu) || var.gpu_count > 0
    error_message = "cpu must be a size that Fargate knows: 256, 512, 1024, 2048, 4096, 8192 or 16384."
  }
}

variable "memory" {
  description = "Memory, in MiB."
  type        = number
  default     = 512

  validation {
    condition     = var.memory >= 512
    error_message = "memory must be at least 512 MiB."
  }
}

variable "gpu_count" {
  description = "GPUs that the task needs. With any, it runs on EC2."
  type        = number
  default     = 0

  validation {
    condition     = contains([0, 1, 2, 4, 8], var.gpu_count)
    error_message = "gpu_count must be 0, 1, 2, 4 or 8."
  }
}

variable "user" {
  description = "User and group that the program runs as, by number."
  type        = string
  default     = "10001:10001"

  validation {
    condition     = can(regex("^[1-9][0-9]*:[1-9][0-9]*$", var.user))
    error_message = "user must be UID:GID and not root, such as 10001:10001."
  }
}

variable "stop_timeout_seconds" {
  description = "How long ECS waits between SIGTERM and SIGKILL."
  type        = number
  default     = 30

  validation {
    condition     = var.stop_timeout_seconds >= 2 && var.stop_timeout_seconds <= (var.gpu_count > 0 ? 3600 : 120)
    error_message = "stop_timeout_seconds must be between 2 and 120, which is the most that Fargate allows (3,600 on EC2)."
  }
}

variable "health_port" {
  description = "Port on which the program answers whether it is well; null if it does not."
  type        = number
  default     = null

  validation {
    condition     = var.health_port == null || try(var.health_port >= 1024 && var.health_port <= 65535, false)
    error_message = "health_port must be null or a port from 1024 to 65535, as the program is not root."
  }
}

variable "environment" {
  description = "Environment variables. Nothing secret."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for value in values(var.environment) : !can(regex("://[^/@ ]*:[^/@ ]+@", value))])
    error_message = "environment holds a URL with a password: give it through secrets."
  }
}

variable "secrets" {
  description = "Environment variables that ECS fills in from Secrets Manager: name → ARN, or ARN:json-key::."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for value in values(var.secrets) : can(regex("^arn:[a-z-]+:secretsmanager:[^:]+:[0-9]{12}:secret:[^:]+", value))])
    error_message = "secrets must be ARNs of Secrets Manager: a value here would be in the state."
  }
}

variable "key_arn" {
  description = "ARN of the KMS key that encrypts the log and the secrets."
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
