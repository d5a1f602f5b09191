# Everything that an environment can choose. environments/NAME.tfvars gives the values; `pools` has
# a file of its own, pools.tf.

variable "environment" {
  description = "Name of the environment, such as dev. The names of all its resources begin with retinue- and this name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,14}[a-z0-9]$", var.environment))
    error_message = "environment must be 2 to 16 lower-case letters, digits and hyphens, such as dev or production."
  }
}

variable "region" {
  description = "AWS region. Rekognition must be available there, and reads only buckets of that region."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be an AWS region, such as eu-west-1."
  }
}

variable "account_id" {
  description = "AWS account that this environment belongs to. Credentials for another account are refused. Null accepts any account."
  type        = string
  default     = null

  validation {
    condition     = var.account_id == null || can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be null or the 12 digits of an AWS account."
  }
}

variable "repository_name" {
  description = "Name of the ECR repository that bootstrap/ creates."
  type        = string
  default     = "retinue"
}

variable "image_tag" {
  description = "Tag of the container image to deploy. An earlier tag rolls back."
  type        = string
  default     = null

  validation {
    condition     = (var.image_tag == null) != (var.image_uri == null)
    error_message = "Give image_tag, the tag of an image in the repository ${var.repository_name}, or image_uri."
  }
}

variable "image_uri" {
  description = "Container image to deploy from another registry, with tag or digest, instead of image_tag. Pools with a GPU run it too."
  type        = string
  default     = null
}

variable "bucket_name" {
  description = "Name of the image bucket. Null builds one from environment, account and region."
  type        = string
  default     = null
}

variable "image_expire_days" {
  description = "Days after which images are deleted. Null keeps them."
  type        = number
  default     = null
}

variable "access_log_bucket" {
  description = "Name of a bucket for S3's access log. Null writes no access log."
  type        = string
  default     = null
}

variable "existing_vpc" {
  description = "Existing VPC to use instead of a new one: its ID and private subnets in at least two zones, with a route to AWS's services."
  type = object({
    vpc_id     = string
    subnet_ids = list(string)
  })
  default = null
}

variable "vpc_cidr" {
  description = "Address range of the new VPC."
  type        = string
  default     = "10.42.0.0/16"
}

variable "zone_count" {
  description = "Number of availability zones with subnets, 2 or 3."
  type        = number
  default     = 2
}

variable "zone_ids" {
  description = "IDs of the availability zones to use, such as [\"euw1-az1\", \"euw1-az2\"], instead of the first zone_count. Set it if a zone lacks an endpoint service, and in production, so that the zones never change."
  type        = list(string)
  default     = null
}

variable "endpoint_zone_count" {
  description = "Number of availability zones with interface endpoints."
  type        = number
  default     = 2
}

variable "database" {
  description = "Size, backups and upgrades of the history's database. modules/database describes each attribute."
  type = object({
    engine_version              = optional(string, "17")
    instance_class              = optional(string, "db.t4g.small")
    storage_gb                  = optional(number, 20)
    max_storage_gb              = optional(number, 100)
    multi_az                    = optional(bool, false)
    backup_days                 = optional(number, 7)
    allow_major_version_upgrade = optional(bool, false)
    apply_immediately           = optional(bool, false)
  })
  default = {}
}

variable "protect" {
  description = "Whether the database and a bucket with images in it refuse to be destroyed."
  type        = bool
  default     = true
}

variable "model_project_arns" {
  description = "ARNs of Custom Labels projects and versions (patterns allowed) whose models are stopped when they run without work. An empty list leaves the reaper out."
  type        = list(string)
  default     = []
}

variable "retention" {
  description = "How long the history is kept: detections_months (whole months besides the current one), raw_responses_days, deleted_images_days (days after an image was removed from S3). Null keeps the first two without limit."
  type = object({
    detections_months   = optional(number)
    raw_responses_days  = optional(number)
    deleted_images_days = optional(number, 30)
  })
  default = {}
}

variable "alarm_emails" {
  description = "E-mail addresses that receive alarms."
  type        = set(string)
  default     = []
}

variable "monthly_budget_usd" {
  description = "Monthly budget of the account in US dollars. AWS sends an alert at 80 % of it and when the forecast exceeds it. Null sets no budget."
  type        = number
  default     = null
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days must be a number that CloudWatch Logs accepts: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}

variable "canary_minutes" {
  description = "Minutes between two canaries: uploads of a small image under canary/. Each pool that takes it has an alarm that goes off if three in a row become no rows. Each costs what an image costs, and keeps a pool with min = 0 awake. Null uploads none."
  type        = number
  default     = null
}

variable "analysts" {
  description = "Names of people who ask questions, such as [\"ann\"]. Each has a login of its own, analyst_NAME. A name that is removed can no longer connect."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.analysts : can(regex("^[a-z][a-z0-9_]{0,39}$", name))])
    error_message = "analysts must be names of up to 40 lower-case letters, digits and underscores."
  }
}

variable "analyst_connections" {
  description = "Maximum number of concurrent connections of each analyst."
  type        = number
  default     = 5
}

variable "database_clients" {
  description = "Others than tasks who may reach the database, such as a VPN: security groups by name, and address ranges. People still sign in with IAM."
  type = object({
    security_group_ids = optional(map(string), {})
    cidr_blocks        = optional(set(string), [])
  })
  default = {}
}
