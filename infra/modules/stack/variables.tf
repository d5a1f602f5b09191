variable "name" {
  description = "Name of the environment; names of everything begin with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name)) && !can(regex("^(aws|ecs|fargate)", var.name))
    error_message = "name must be 3 to 24 lower-case letters, digits and hyphens, such as retinue-dev, and not begin with aws, ecs or fargate."
  }
}

variable "images" {
  description = "Container images, pinned by digest or tag: cpu, and cuda for pools with a GPU."
  type = object({
    cpu  = string
    cuda = optional(string)
  })

  validation {
    condition     = var.images.cuda != null || alltrue([for pool in values(var.pools) : !pool.gpu])
    error_message = "A pool needs a GPU: give images.cuda, the CUDA variant of the image."
  }
}

variable "repository_arn" {
  description = "ARN of the ECR repository that the images come from; null for another registry, which the VPC must then reach."
  type        = string
  default     = null
}

variable "bucket_name" {
  description = "Name of the image bucket; made of name, account and region if null."
  type        = string
  default     = null
}

variable "image_expire_days" {
  description = "After how many days images are deleted; null keeps them."
  type        = number
  default     = null
}

variable "access_log_bucket" {
  description = "Name of a bucket for S3's access log; null for none."
  type        = string
  default     = null
}

variable "existing_vpc" {
  description = "A VPC of yours, instead of one made here; see modules/network."
  type = object({
    vpc_id     = string
    subnet_ids = list(string)
  })
  default = null
}

variable "vpc_cidr" {
  description = "Addresses of the VPC made here."
  type        = string
  default     = "10.42.0.0/16"
}

variable "zone_count" {
  description = "In how many availability zones to have subnets, 2 or 3."
  type        = number
  default     = 2
}

variable "endpoint_zone_count" {
  description = "In how many zones to have the interface endpoints."
  type        = number
  default     = 2
}

variable "database" {
  description = "The history's database; see modules/database."
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
  description = "Whether what holds data refuses to be destroyed: the database, and a bucket with images in it."
  type        = bool
  default     = true
}

variable "model_project_arns" {
  description = "Custom Labels projects and versions (patterns allowed) whose models are stopped when they run without work. None leaves the reaper out."
  type        = list(string)
  default     = []
}

variable "keep" {
  description = "How long the history is kept: detections_months (whole months beside the current one), raw_responses_days, deleted_images_days (after an image was removed from S3). null keeps the first two for ever."
  type = object({
    detections_months   = optional(number)
    raw_responses_days  = optional(number)
    deleted_images_days = optional(number, 30)
  })
  default = {}
}

variable "alarm_emails" {
  description = "Who is told of alarms, by e-mail."
  type        = set(string)
  default     = []
}

variable "monthly_budget_usd" {
  description = "What the account may cost a month, in US dollars, before people are told; null for no budget."
  type        = number
  default     = null
}

variable "log_retention_days" {
  description = "How long logs are kept, in days."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days must be a number that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}
