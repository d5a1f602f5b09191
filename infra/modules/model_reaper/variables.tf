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

variable "project_arns" {
  description = "ARNs of the Custom Labels projects and versions whose models may be stopped; patterns allowed."
  type        = list(string)

  validation {
    condition     = length(var.project_arns) > 0 && alltrue([for arn in var.project_arns : can(regex("^arn:[a-z-]+:rekognition:[a-z0-9-]+:[0-9]{12}:project/", arn))])
    error_message = "project_arns must hold ARNs of Rekognition projects, such as arn:aws:rekognition:eu-west-1:123456789012:project/birds/*."
  }
}

variable "every_minutes" {
  description = "How often to look, in minutes."
  type        = number
  default     = 15

  validation {
    condition     = var.every_minutes >= 5 && var.every_minutes <= 60
    error_message = "every_minutes must be between 5 and 60: a forgotten model costs about $4 an hour."
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

variable "alarm_topic_arn" {
  description = "ARN of the SNS topic that alarms are sent to."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be the ARN of an SNS topic."
  }
}
