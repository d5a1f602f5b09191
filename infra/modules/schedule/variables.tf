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

variable "purpose" {
  description = "Purpose of the task, in a word. It follows the environment in the names of the schedule and the alarm."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z-]{1,30}[a-z]$", var.purpose))
    error_message = "purpose must be 3 to 32 lower-case letters and hyphens, such as maintenance."
  }
}

variable "description" {
  description = "Description of the task. Shown with the schedule."
  type        = string

  validation {
    condition     = length(var.description) >= 10
    error_message = "description must describe the task."
  }
}

variable "expression" {
  description = "When to run, in UTC and in EventBridge Scheduler's syntax: cron(…) or rate(…)."
  type        = string

  validation {
    condition     = can(regex("^(cron|rate)\\(.+\\)$", var.expression))
    error_message = "expression must be cron(…) or rate(…), such as rate(15 minutes)."
  }
}

variable "overdue_hours" {
  description = "Hours without a finished run after which the alarm goes off."
  type        = number

  validation {
    condition     = var.overdue_hours >= 1 && var.overdue_hours <= 168 && floor(var.overdue_hours) == var.overdue_hours
    error_message = "overdue_hours must be a whole number from 1 to 168: CloudWatch looks back a week at most."
  }
}

variable "last_line" {
  description = "Text in the task's last line of output that means success."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9 :]+$", var.last_line))
    error_message = "last_line must be letters, digits, spaces and colons."
  }
}

variable "definition" {
  description = "Task definition to run: its ARN, the ARNs of its two roles, the name of its log group."
  type = object({
    arn                = string
    role_arn           = string
    execution_role_arn = string
    log_group_name     = string
  })

  validation {
    condition     = can(regex("^arn:[a-z-]+:ecs:[a-z0-9-]+:[0-9]{12}:task-definition/", var.definition.arn))
    error_message = "definition.arn must be the ARN of a task definition."
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
