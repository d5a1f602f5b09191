variable "name" {
  description = "Name of the environment, and of the instance."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, such as retinue-dev."
  }
}

variable "vpc_id" {
  description = "Id of the VPC."
  type        = string

  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "vpc_id must be the id of a VPC, such as vpc-0123456789abcdef0."
  }
}

variable "subnet_ids" {
  description = "Ids of private subnets, in two zones or more."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must name at least two subnets: RDS wants two zones."
  }
}

variable "client_security_group_ids" {
  description = "Security groups that may connect, by a name for each."
  type        = map(string)

  validation {
    condition     = length(var.client_security_group_ids) > 0
    error_message = "client_security_group_ids must name at least one, or no client can connect."
  }
}

variable "key_arn" {
  description = "ARN of the KMS key that encrypts storage, password, logs and Performance Insights."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.key_arn))
    error_message = "key_arn must be the ARN of a KMS key."
  }
}

variable "engine_version" {
  description = "PostgreSQL version: a major one (AWS picks the minor), or one in full."
  type        = string
  default     = "17"

  validation {
    condition     = can(regex("^1[5-9](\\.[0-9]+)?$", var.engine_version))
    error_message = "engine_version must be PostgreSQL 15 or newer, such as 17 or 17.5."
  }
}

variable "instance_class" {
  description = "Size of the instance."
  type        = string
  default     = "db.t4g.small"

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.instance_class))
    error_message = "instance_class must be a class of RDS, such as db.t4g.small."
  }
}

variable "storage_gb" {
  description = "Storage to begin with, in GB."
  type        = number
  default     = 20

  validation {
    condition     = var.storage_gb >= 20 && var.storage_gb <= 65536
    error_message = "storage_gb must be between 20 and 65,536."
  }
}

variable "max_storage_gb" {
  description = "How far storage grows by itself, in GB."
  type        = number
  default     = 100

  validation {
    condition     = var.max_storage_gb >= ceil(var.storage_gb * 1.1)
    error_message = "max_storage_gb must be at least a tenth more than storage_gb, or RDS does not grow it."
  }
}

variable "multi_az" {
  description = "Whether a standby waits in another zone."
  type        = bool
  default     = false
}

variable "backup_days" {
  description = "How long backups are kept, in days: the window for point-in-time recovery."
  type        = number
  default     = 7

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "backup_days must be between 1 and 35; 0 would switch backups off."
  }
}

variable "deletion_protection" {
  description = "Whether the instance refuses to be deleted."
  type        = bool
  default     = true
}

variable "skip_final_snapshot" {
  description = "Whether deleting the instance leaves nothing behind."
  type        = bool
  default     = false
}

variable "allow_major_version_upgrade" {
  description = "Whether a new major version may be applied; true for the time of an upgrade."
  type        = bool
  default     = false
}

variable "apply_immediately" {
  description = "Whether changes wait for no maintenance window. Some restart the instance."
  type        = bool
  default     = false
}

variable "certificate_bundle" {
  description = "Where the container image keeps RDS's certificate authorities."
  type        = string
  default     = "/etc/ssl/certs/rds-global-bundle.pem"

  validation {
    condition     = startswith(var.certificate_bundle, "/")
    error_message = "certificate_bundle must be an absolute path in the container image."
  }
}

variable "log_retention_days" {
  description = "How long the server's log is kept, in days."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days must be a number that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}

variable "client_cidr_blocks" {
  description = "IPv4 address ranges that may reach the database, besides the security groups."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for block in var.client_cidr_blocks : can(cidrhost(block, 0)) && !try(endswith(block, "/0"), true)])
    error_message = "client_cidr_blocks must be IPv4 address ranges, such as 10.1.0.0/16, and not the whole internet."
  }
}

variable "analysts" {
  description = "Names of people with a login of their own, analyst_NAME."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.analysts : can(regex("^[a-z][a-z0-9_]{0,39}$", name))])
    error_message = "analysts must be names of up to 40 lower-case letters, digits and underscores."
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

variable "existing" {
  description = <<-EOT
    A database of yours, instead of one made here. It must accept IAM sign-in.

    - `identifier`: identifier of the RDS instance, or of the Aurora cluster
    - `aurora`: whether it is an Aurora cluster
    - `name`: name of a database in it, which exists already
    - `owner_secret_arn`: secret with username and password of a login that owns this database and has
      CREATEROLE and the role rds_iam with ADMIN; null takes the master user's, which RDS manages
    - `owner_secret_key_arn`: KMS key of that secret, if it isn't the environment's or AWS's own
  EOT
  type = object({
    identifier           = string
    aurora               = optional(bool, false)
    name                 = optional(string, "retinue")
    owner_secret_arn     = optional(string)
    owner_secret_key_arn = optional(string)
  })
  default = null

  validation {
    condition = var.existing == null ? true : alltrue([
      can(regex("^[a-z][a-z0-9-]{0,62}$", var.existing.identifier)), can(regex("^[a-z_][a-z0-9_]{0,62}$", var.existing.name)),
      var.existing.owner_secret_arn == null || can(regex("^arn:[a-z-]+:secretsmanager:[^:]+:[0-9]{12}:secret:[^:]+$", var.existing.owner_secret_arn)),
      var.existing.owner_secret_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.existing.owner_secret_key_arn)),
    ])
    error_message = "existing needs identifier, the identifier of an RDS instance or Aurora cluster, and name, of a database in it. Secret and key are ARNs."
  }
}
