variable "name" {
  description = "Name of the environment, and of the dashboard."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, such as retinue-dev."
  }
}

variable "pools" {
  description = "Values to draw for each pool."
  type = map(object({
    queue_name             = string
    dead_letter_queue_name = string
    service_name           = string
    metric_namespace       = string
  }))

  validation {
    condition     = alltrue([for pool in values(var.pools) : startswith(pool.metric_namespace, "Retinue/")])
    error_message = "The metrics of a pool are in a namespace that begins with Retinue/."
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

variable "database_identifier" {
  description = "Identifier of the RDS instance. Null leaves alarms and graphs of the database to its owner."
  type        = string

  validation {
    condition     = var.database_identifier == null || can(regex("^[a-z][a-z0-9-]+$", var.database_identifier))
    error_message = "database_identifier must be the identifier of an RDS instance."
  }
}

variable "database_instance_class" {
  description = "Class of the RDS instance. A burstable one, such as db.t4g.small, has an alarm of its CPU credits."
  type        = string
  default     = null

  validation {
    condition     = var.database_instance_class == null || can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.database_instance_class))
    error_message = "database_instance_class must be a class of RDS, such as db.t4g.small."
  }
}

variable "key_arn" {
  description = "ARN of the KMS key that encrypts the alarms' topic. Disabling or deleting it is reported there."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.key_arn))
    error_message = "key_arn must be the ARN of a KMS key."
  }
}

variable "alarm_emails" {
  description = "E-mail addresses that receive alarms."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+[.][^@ ]+$", address))])
    error_message = "alarm_emails must be e-mail addresses."
  }
}

variable "database_storage_gb" {
  description = "Storage of the database at first, in GB. RDS grows it when less than 10 % are free, so the alarm goes off at 5 %, and at 4 GB at most."
  type        = number

  validation {
    condition     = var.database_storage_gb >= 20
    error_message = "database_storage_gb must be 20 or more."
  }
}

variable "image_topic_name" {
  description = "Name of the SNS topic that S3 notifies of new images. Null without one."
  type        = string

  validation {
    condition     = var.image_topic_name == null || can(regex("^[A-Za-z0-9_-]{1,256}$", var.image_topic_name))
    error_message = "image_topic_name must be the name of an SNS topic, not its ARN."
  }
}

variable "monthly_budget_usd" {
  description = "Monthly budget of the account in US dollars, above which an e-mail is sent; null for no budget."
  type        = number
  default     = null

  validation {
    condition     = var.monthly_budget_usd == null || try(var.monthly_budget_usd > 0, false)
    error_message = "monthly_budget_usd must be null or above 0."
  }
}

variable "existing_topic_arn" {
  description = "ARN of an SNS topic to send alarms to, instead of a new one."
  type        = string
  default     = null

  validation {
    condition     = var.existing_topic_arn == null || can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:", var.existing_topic_arn))
    error_message = "existing_topic_arn must be null or the ARN of an SNS topic."
  }
}
