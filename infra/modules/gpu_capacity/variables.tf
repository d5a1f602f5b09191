variable "name" {
  description = "Name of the capacity provider: ENVIRONMENT-POOL."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]+$", var.name)) && !can(regex("^(aws|ecs|fargate)", var.name))
    error_message = "name must be lower-case letters, digits and hyphens, and not begin with aws, ecs or fargate, which ECS keeps for itself."
  }
}

variable "cluster_name" {
  description = "Name of the ECS cluster that the instances join."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,255}$", var.cluster_name))
    error_message = "cluster_name must be the name of an ECS cluster, not its ARN."
  }
}

variable "network" {
  description = "Where the instances run: subnets and security group."
  type = object({
    subnet_ids        = list(string)
    security_group_id = string
  })

  validation {
    condition     = length(var.network.subnet_ids) > 0
    error_message = "network.subnet_ids must name at least one subnet."
  }
}

variable "instance_types" {
  description = "Instance types, in order of preference."
  type        = list(string)

  validation {
    condition     = length(var.instance_types) > 0
    error_message = "instance_types must name at least one, such as g4dn.xlarge."
  }
}

variable "max" {
  description = "Most instances."
  type        = number

  validation {
    condition     = var.max >= 1
    error_message = "max must be at least 1."
  }
}

variable "spot_share" {
  description = "Share of instances bought on the spot market, 0 to 1."
  type        = number
  default     = 0

  validation {
    condition     = var.spot_share >= 0 && var.spot_share <= 1
    error_message = "spot_share must be between 0 and 1."
  }
}

variable "stop_timeout_seconds" {
  description = "How long the agent waits between SIGTERM and SIGKILL."
  type        = number

  validation {
    condition     = var.stop_timeout_seconds >= 2 && var.stop_timeout_seconds <= 3600
    error_message = "stop_timeout_seconds must be between 2 and 3,600."
  }
}

variable "disk_gb" {
  description = "Size of the root disk, in GB: the CUDA container image takes some 10."
  type        = number
  default     = 60

  validation {
    condition     = var.disk_gb >= 30
    error_message = "disk_gb must be at least 30, the size of AWS's image."
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
