variable "task" {
  description = "Attributes that the environment's tasks share. modules/task describes and checks each."
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
}

variable "config" {
  description = "One value of the root's variable `console`, which describes each attribute."
  type = object({
    public_url      = string
    certificate_arn = string
    client_cidrs    = list(string)
    oidc            = object({ issuer = string, client_id = string, client_secret_arn = string, scopes = string })
    alb             = optional(object({ authorization_endpoint = string, token_endpoint = string, user_info_endpoint = string }))
    login_rights    = map(list(string))
    group_rights    = map(list(string))
    settings        = map(string)
    tasks           = number
    cpu             = number
    memory          = number
  })

  validation {
    condition     = can(regex("^https://[^/?#@ ]+$", var.config.public_url))
    error_message = "console.public_url must be the address in browsers, without a path, such as https://retinue.example.com."
  }

  validation {
    condition     = can(regex("^arn:[a-z-]+:acm:[a-z0-9-]+:[0-9]{12}:certificate/", var.config.certificate_arn))
    error_message = "console.certificate_arn must be the ARN of a certificate of ACM for the name in public_url."
  }

  validation {
    condition     = length(var.config.client_cidrs) > 0 && alltrue([for cidr in var.config.client_cidrs : try(cidrhost(cidr, 0) != "" && !endswith(cidr, "/0"), false)])
    error_message = "console.client_cidrs must list the networks that people come from, such as [\"10.0.0.0/8\"], and not the whole internet."
  }

  validation {
    condition     = try(startswith(var.config.oidc.issuer, "https://") && length(var.config.oidc.client_id) > 0, false)
    error_message = "console.oidc must name the provider's issuer (https://…) and the client_id."
  }

  validation {
    condition     = can(regex("^arn:[a-z-]+:secretsmanager:[^:]+:[0-9]{12}:secret:[^:]+", var.config.oidc.client_secret_arn))
    error_message = "console.oidc.client_secret_arn must be the ARN of a secret in Secrets Manager that holds the client's secret and nothing else."
  }

  validation {
    condition     = var.config.alb == null ? true : alltrue([for address in values(var.config.alb) : try(startswith(address, "https://"), false)])
    error_message = "console.alb must have the provider's endpoints, each https://…."
  }

  validation {
    condition = length(var.config.login_rights) + length(var.config.group_rights) > 0 && alltrue([
      for right in flatten(concat(values(var.config.login_rights), values(var.config.group_rights))) :
      try(contains(["viewer", "reviewer", "admin", "sql"], right), false)
    ])
    error_message = "console.login_rights or console.group_rights must give a right: viewer, reviewer, admin or sql. There are none by default."
  }

  validation {
    condition = alltrue([for name in keys(var.config.settings) : contains([
      "groups_claim", "login_claim", "pictures_cache_mb", "session_minutes",
    ], name)])
    error_message = "console.settings takes groups_claim, login_claim, pictures_cache_mb and session_minutes."
  }

  validation {
    condition     = var.config.tasks >= 1 && floor(var.config.tasks) == var.config.tasks
    error_message = "console.tasks must be a whole number, 1 or more."
  }
}

variable "protect" {
  description = "Whether the load balancer refuses to be destroyed."
  type        = bool
  default     = true
}

variable "vpc_id" {
  description = "Id of the VPC."
  type        = string

  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "vpc_id must be the id of a VPC, such as vpc-0123456789abcdef0."
  }
}

variable "database" {
  description = "The history: its security group, and two logins with their URLs and the ARNs on which they may sign in. One only reads, the other only writes reviews."
  type = object({
    security_group_id = string
    reader            = object({ url = string, login_arn = string })
    reviewer          = object({ url = string, login_arn = string })
  })

  validation {
    condition = alltrue([for login in [var.database.reader, var.database.reviewer] :
      startswith(login.url, "postgresql://") && strcontains(login.url, "@") && strcontains(login.url, "sslmode=verify-full")
    ])
    error_message = "database needs postgresql:// URLs with a login that check the server's certificate (sslmode=verify-full)."
  }

  validation {
    condition = alltrue([for login in [var.database.reader, var.database.reviewer] :
      can(regex("^arn:[a-z-]+:rds-db:[a-z0-9-]+:[0-9]{12}:dbuser:[^/*]+/[^/*]+$", login.login_arn))
    ])
    error_message = "database needs login_arns that name one login of one database each: arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE/LOGIN."
  }
}

variable "images" {
  description = "Buckets with images, and the KMS keys of those that are encrypted with another key than task.key_arn."
  type = object({
    bucket_arns = list(string)
    key_arns    = optional(list(string), [])
  })

  validation {
    condition     = length(var.images.bucket_arns) > 0 && alltrue([for arn in var.images.bucket_arns : can(regex("^arn:[a-z-]+:s3:::[^/*]+$", arn))])
    error_message = "images.bucket_arns must hold at least one ARN of a bucket, such as arn:aws:s3:::my-images."
  }

  validation {
    condition     = alltrue([for arn in var.images.key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", arn))])
    error_message = "images.key_arns must be ARNs of KMS keys."
  }
}

variable "alarm_topic_arn" {
  description = "ARN of the SNS topic that alarms are sent to."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be the ARN of an SNS topic."
  }
}
