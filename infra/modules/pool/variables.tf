variable "name" {
  description = "Name of the environment."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, such as retinue-dev."
  }
}

variable "pool_name" {
  description = "Name of the pool."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", var.pool_name))
    error_message = "A pool's name must be 2 to 20 lower-case letters, digits and hyphens, such as labels; \"${var.pool_name}\" is not."
  }

  validation {
    condition     = !contains(["maintenance", "migrations", "model-reaper", "network"], var.pool_name) && !endswith(var.pool_name, "-dead")
    error_message = "\"${var.pool_name}\" is taken: call the pool something else."
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

variable "cluster" {
  description = "The ECS cluster, with Container Insights: scaling reads RunningTaskCount."
  type = object({
    arn  = string
    name = string
  })

  validation {
    condition     = can(regex("^arn:[a-z-]+:ecs:[a-z0-9-]+:[0-9]{12}:cluster/", var.cluster.arn))
    error_message = "cluster.arn must be the ARN of an ECS cluster."
  }
}

variable "gpu_capacity_provider" {
  description = "Capacity provider of the pool's GPU instances; needed if it has any."
  type        = string
  default     = null

  validation {
    condition     = !var.config.gpu || var.gpu_capacity_provider != null
    error_message = "The pool ${var.pool_name} needs a GPU: give gpu_capacity_provider."
  }
}

variable "network" {
  description = "Where the tasks run: subnets and security group."
  type = object({
    subnet_ids        = list(string)
    security_group_id = string
  })

  validation {
    condition     = length(var.network.subnet_ids) > 0
    error_message = "network.subnet_ids must name at least one subnet."
  }
}

variable "topic_arn" {
  description = "ARN of the topic that tells of images."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:sns:", var.topic_arn))
    error_message = "topic_arn must be the ARN of an SNS topic."
  }
}

variable "bucket_arn" {
  description = "ARN of the bucket with the images."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:s3:::[^/*]+$", var.bucket_arn))
    error_message = "bucket_arn must be the ARN of a bucket, such as arn:aws:s3:::my-images."
  }
}

variable "database" {
  description = "The history: its URL with the workers' login, and the ARN on which they may sign in."
  type = object({
    url       = string
    login_arn = string
  })

  validation {
    condition     = startswith(var.database.url, "postgresql://") && strcontains(var.database.url, "sslmode=verify-full")
    error_message = "database.url must be a postgresql:// URL that checks the server's certificate (sslmode=verify-full)."
  }

  validation {
    condition     = can(regex("^arn:[a-z-]+:rds-db:[a-z0-9-]+:[0-9]{12}:dbuser:[^/*]+/[^/*]+$", var.database.login_arn))
    error_message = "database.login_arn must name one login of one database: arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE/LOGIN."
  }
}

variable "key_arn" {
  description = "ARN of the KMS key that encrypts images, messages and logs."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.key_arn))
    error_message = "key_arn must be the ARN of a KMS key."
  }
}

variable "alarm_topic_arn" {
  description = "ARN of the topic that alarms go to."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:sns:", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be the ARN of an SNS topic."
  }
}

variable "log_retention_days" {
  description = "How long the workers' logs are kept, in days."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days must be a number that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}
