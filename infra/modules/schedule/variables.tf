variable "name" {
  description = "Name of the environment."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, such as retinue-dev."
  }
}

variable "purpose" {
  description = "What the task is for, in a word: it follows the environment in the schedule's and the alarm's name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z-]{1,30}[a-z]$", var.purpose))
    error_message = "purpose must be 3 to 32 lower-case letters and hyphens, such as maintenance."
  }
}

variable "description" {
  description = "What the task does, for people who look at the schedule."
  type        = string

  validation {
    condition     = length(var.description) >= 10
    error_message = "description must say what the task does."
  }
}

variable "expression" {
  description = "When to run, as EventBridge Scheduler writes it, in UTC: cron(…) or rate(…)."
  type        = string

  validation {
    condition     = can(regex("^(cron|rate)\\(.+\\)$", var.expression))
    error_message = "expression must be cron(…) or rate(…), such as rate(15 minutes)."
  }
}

variable "overdue_hours" {
  description = "After how many hours without a run that finished people are told."
  type        = number

  validation {
    condition     = var.overdue_hours >= 1 && var.overdue_hours <= 168 && floor(var.overdue_hours) == var.overdue_hours
    error_message = "overdue_hours must be a whole number from 1 to 168: CloudWatch looks back a week at most."
  }
}

variable "last_line" {
  description = "What the task's last line of output has, if all went well."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9 :]+$", var.last_line))
    error_message = "last_line must be letters, digits, spaces and colons."
  }
}

variable "task" {
  description = "What to run: the task definition's ARN, the ARNs of its two roles, the name of its log group."
  type = object({
    definition_arn     = string
    role_arn           = string
    execution_role_arn = string
    log_group_name     = string
  })

  validation {
    condition     = can(regex("^arn:[a-z-]+:ecs:[a-z0-9-]+:[0-9]{12}:task-definition/", var.task.definition_arn))
    error_message = "task.definition_arn must be the ARN of a task definition."
  }
}

variable "cluster_arn" {
  description = "ARN of the ECS cluster."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:ecs:[a-z0-9-]+:[0-9]{12}:cluster/", var.cluster_arn))
    error_message = "cluster_arn must be the ARN of an ECS cluster."
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

variable "key_arn" {
  description = "ARN of the KMS key that encrypts the schedule."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.key_arn))
    error_message = "key_arn must be the ARN of a KMS key."
  }
}

variable "alarm_topic_arn" {
  description = "ARN of the topic that people are told by."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be the ARN of an SNS topic."
  }
}
