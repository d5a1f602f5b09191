variable "region" {
  description = "AWS region. Rekognition must be available there, and reads only buckets there."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be an AWS region, such as eu-west-1."
  }
}

variable "account_id" {
  description = "The AWS account that this environment belongs in: credentials for another are refused. Null for any."
  type        = string
  default     = null

  validation {
    condition     = var.account_id == null || can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be null or the 12 digits of an AWS account."
  }
}

variable "repository_name" {
  description = "Name of the ECR repository that bootstrap/ made."
  type        = string
  default     = "retinue"
}

variable "image_tag" {
  description = "Tag of the image to deploy. Deploying an earlier one rolls back."
  type        = string
  default     = null

  validation {
    condition     = (var.image_tag == null) != (var.image_uri == null)
    error_message = "Give image_tag, the tag of an image in the repository ${var.repository_name}, or image_uri."
  }
}

variable "image_uri" {
  description = "Image to deploy from another registry, with tag or digest, instead of image_tag. Pools with a GPU get it too."
  type        = string
  default     = null
}

variable "existing_vpc" {
  description = "A VPC of yours, instead of one made here: its id and private subnets in two zones or more, with a way to AWS."
  type = object({
    vpc_id     = string
    subnet_ids = list(string)
  })
  default = null
}

variable "model_project_arns" {
  description = "Custom Labels projects and versions (patterns allowed) whose models are stopped when they run without work."
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
