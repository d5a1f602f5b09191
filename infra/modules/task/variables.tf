variable "task" {
  description = <<-EOT
    Attributes that all tasks of an environment share. Every module with a task takes this object.

    - `name_prefix`: name of the environment; the names of its resources begin with it, such as retinue-dev
    - `image`: container image with a digest or a tag, REGISTRY/NAME@sha256:… or REGISTRY/NAME:TAG
    - `repository_arn`: ARN of the image's ECR repository; null for another registry
    - `cluster`: ARN and name of the ECS cluster that runs the task
    - `network`: subnets and security group that the task runs in, and whether it has a public address
    - `key_arn`: ARN of the KMS key that encrypts logs and secrets
    - `log_retention_days`: days for which logs are kept
    - `boundary_arn`: ARN of the policy that is the permissions boundary of the roles; null for none
    - `arm64`: whether the task runs on ARM64
  EOT
  type = object({
    name_prefix        = string
    image              = string
    repository_arn     = optional(string)
    cluster            = object({ arn = string, name = string })
    network            = object({ subnet_ids = list(string), security_group_id = string, assign_public_ip = optional(bool, false) })
    key_arn            = string
    log_retention_days = optional(number, 30)
    boundary_arn       = optional(string)
    arm64              = optional(bool, false)
  })

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.task.name_prefix))
    error_message = "task.name_prefix must be 3 to 32 lower-case letters, digits and hyphens, such as retinue-dev."
  }

  validation {
    condition     = can(regex("(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]*)$", var.task.image)) && !endswith(var.task.image, ":latest")
    error_message = "task.image must have a digest or a tag other than latest: what latest means changes."
  }

  validation {
    condition     = var.task.repository_arn == null || can(regex("^arn:[a-z-]+:ecr:[a-z0-9-]+:[0-9]{12}:repository/", var.task.repository_arn))
    error_message = "task.repository_arn must be null or the ARN of an ECR repository."
  }

  validation {
    condition     = can(regex("^arn:[a-z-]+:ecs:[a-z0-9-]+:[0-9]{12}:cluster/", var.task.cluster.arn)) && can(regex("^[A-Za-z0-9_-]{1,255}$", var.task.cluster.name))
    error_message = "task.cluster must be the ARN and the name of an ECS cluster."
  }

  validation {
    condition     = length(var.task.network.subnet_ids) > 0
    error_message = "task.network.subnet_ids must have at least one subnet."
  }

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.task.key_arn))
    error_message = "task.key_arn must be the ARN of a KMS key."
  }

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.task.log_retention_days)
    error_message = "task.log_retention_days must be a number that CloudWatch Logs accepts: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}

variable "purpose" {
  description = "Purpose of the task, such as migrations. It ends the names of the task definition, the log group and the roles."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*[a-z0-9]$", var.purpose))
    error_message = "purpose must be lower-case letters, digits and hyphens, such as migrations."
  }
}

variable "command" {
  description = "Arguments of the program `retinue`, which is the container image's entry point."
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

variable "secrets_key_arn" {
  description = "ARN of the KMS key that encrypts the secrets, if it isn't task.key_arn or AWS's own."
  type        = string
  default     = null

  validation {
    condition     = var.secrets_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.secrets_key_arn))
    error_message = "secrets_key_arn must be null or the ARN of a KMS key."
  }
}

variable "loses_no_output" {
  description = "Whether the program waits for a slow log. Otherwise lines are lost. For commands, whose output is read from the log."
  type        = bool
  default     = false
}
