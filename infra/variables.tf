# Everything that an environment can choose. environments/NAME.tfvars gives the values; `pools` has
# a file of its own, pools.tf.

variable "environment" {
  description = "Name of the environment, such as dev. The names of all its resources begin with retinue- and this name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,15}$", var.environment)) && var.environment != "bootstrap"
    error_message = "environment must be 2 to 16 lower-case letters and digits, such as dev or production, and not bootstrap. With a hyphen, as in dev-eu, its names could be those of a pool of another environment, dev."
  }
}

variable "image_tag" {
  description = "Tag of the container image to deploy. An earlier tag rolls back."
  type        = string
  default     = null

  validation {
    condition     = (var.image_tag == null) != (var.image_uri == null)
    error_message = "Give image_tag, the tag of an image in the repository retinue, or image_uri."
  }
}

variable "image_uri" {
  description = "Container image to deploy from another registry, with tag or digest, instead of image_tag. Pools with a GPU run it too."
  type        = string
  default     = null
}

variable "bucket_name" {
  description = "Name of the image bucket, which begins with retinue-. Null builds one from environment, account and region."
  type        = string
  default     = null

  validation {
    condition     = var.bucket_name == null ? true : startswith(var.bucket_name, "retinue-")
    error_message = "bucket_name must begin with retinue-: the deployer's policies allow no other bucket. To use another name, create the bucket yourself and list it in sources, with create_bucket = false."
  }
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

variable "create_bucket" {
  description = "Whether to create an image bucket. Without one, images come from sources alone."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = var.create_bucket || length(var.sources) > 0
    error_message = "Without create_bucket, give at least one bucket in sources."
  }

  validation {
    condition     = var.create_bucket || var.canary_minutes == null
    error_message = "The canary needs a bucket of its own: set canary_minutes = null, or create_bucket = true."
  }
}

variable "sources" {
  description = "Existing buckets with images, by name: bucket_name; account_id of another account's bucket; key_arn of the KMS key that encrypts it; topic_arn of an SNS topic that the bucket notifies already. Without topic_arn, events come through EventBridge, which must be enabled in the bucket. The bucket itself isn't changed."
  type = map(object({
    bucket_name = string
    account_id  = optional(string)
    key_arn     = optional(string)
    topic_arn   = optional(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition = alltrue([for source in values(var.sources) : alltrue([
      can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", source.bucket_name)),
      can(regex("^[0-9]{12}$", coalesce(source.account_id, "000000000000"))),
      can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", coalesce(source.key_arn, "arn:aws:kms:x:000000000000:key/"))),
      can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:", coalesce(source.topic_arn, "arn:aws:sns:x:000000000000:"))),
    ])])
    error_message = "sources need bucket_name, the name of a bucket. Optional are account_id (12 digits), key_arn (of a KMS key, not an alias) and topic_arn (of an SNS topic)."
  }

  validation {
    condition     = length(distinct([for name, source in var.sources : try(source.bucket_name, name)])) == length(var.sources) && !contains(keys(var.sources), "own")
    error_message = "Each bucket can be in sources once, and no source can have the name own."
  }
}

variable "model_key_arns" {
  description = "ARNs of the KMS keys that encrypt models and reference images that detectors' options name (s3://…), unless it is the environment's key or one of sources. Workers may decrypt with them through S3."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.model_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", arn))])
    error_message = "model_key_arns must be ARNs of KMS keys, such as arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000, not of aliases."
  }
}

variable "existing_key_arn" {
  description = "ARN of an existing KMS key to use instead of a new one. Its policy must allow what modules/key allows."
  type        = string
  default     = null
}

variable "existing_cluster" {
  description = "Existing ECS cluster to use instead of a new one: its name, and the capacity provider of its GPU instances if pools need a GPU. It needs the capacity providers FARGATE and FARGATE_SPOT, and Container Insights, which scaling reads."
  type = object({
    name                  = string
    gpu_capacity_provider = optional(string)
  })
  default = null

  validation {
    condition     = var.existing_cluster == null ? true : can(regex("^[A-Za-z0-9_-]{1,255}$", var.existing_cluster.name))
    error_message = "existing_cluster.name must be the name of an ECS cluster, not its ARN."
  }

  validation {
    condition     = var.existing_cluster == null || try(var.existing_cluster.gpu_capacity_provider, null) != null || !anytrue([for pool in values(var.pools) : pool.gpu])
    error_message = "A pool has gpu = true: give existing_cluster.gpu_capacity_provider, the capacity provider of the cluster's GPU instances."
  }
}

variable "existing_database" {
  description = "Existing PostgreSQL on RDS or Aurora to use instead of a new instance: its identifier, and whether it is an Aurora cluster. modules/database describes each attribute."
  type = object({
    identifier           = string
    aurora               = optional(bool, false)
    name                 = optional(string, "retinue")
    owner_secret_arn     = optional(string)
    owner_secret_key_arn = optional(string)
  })
  default = null
}

variable "existing_alarm_topic_arn" {
  description = "ARN of an existing SNS topic to send alarms to instead of a new one. Its policy, and the policy of its key, must let CloudWatch and EventBridge publish, EventBridge without conditions; with monthly_budget_usd, Budgets as well."
  type        = string
  default     = null

  validation {
    condition     = var.existing_alarm_topic_arn == null || length(var.alarm_emails) == 0
    error_message = "alarm_emails subscribe to a new topic: subscribe people to existing_alarm_topic_arn yourself, or leave it out."
  }
}

variable "permissions_boundary_arn" {
  description = "ARN of a policy that becomes the permissions boundary of each role. Null sets no boundary."
  type        = string
  default     = null
}

variable "arm64" {
  description = "Whether tasks run on ARM64 (Graviton), which costs about 20 % less. Pools with a GPU run on X86_64. `make deploy` builds the container image for it."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.arm64 || !anytrue([for pool in values(var.pools) : pool.gpu])
    error_message = "arm64 and gpu = true exclude each other: run the pool with a GPU in another environment."
  }
}

variable "egress" {
  description = "How tasks in the new VPC reach AWS: endpoints (no internet at all), nat (NAT gateways), or public (public addresses and no way in: cheapest at rest)."
  type        = string
  default     = "endpoints"
  nullable    = false

  validation {
    condition     = var.egress != "public" || var.existing_vpc != null || !anytrue([for pool in values(var.pools) : pool.gpu])
    error_message = "ECS gives tasks on GPU instances no public address: set egress to endpoints or nat."
  }
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
  nullable    = false
}

variable "zone_count" {
  description = "Number of availability zones with subnets, 2 or 3."
  type        = number
  default     = 2
  nullable    = false
}

variable "zone_ids" {
  description = "IDs of the availability zones to use, such as [\"euw1-az1\", \"euw1-az2\"], instead of the first zone_count. Set it if a zone lacks an endpoint service, and in production, so that the zones never change."
  type        = list(string)
  default     = null
}

variable "endpoint_zone_count" {
  description = "Number of availability zones with interface endpoints or NAT gateways."
  type        = number
  default     = 2
  nullable    = false
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
  default  = {}
  nullable = false
}

variable "protect" {
  description = "Whether the database and a bucket with images in it refuse to be destroyed."
  type        = bool
  default     = true
  nullable    = false
}

variable "model_project_arns" {
  description = "ARNs of Custom Labels projects and versions (patterns allowed) whose models are stopped when they run without work. An empty list leaves the reaper out."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "retention" {
  description = "How long the history is kept: detections_months (whole months besides the current one), raw_responses_days, deleted_images_days (days after an image was removed from S3). Null keeps the first two without limit."
  type = object({
    detections_months   = optional(number)
    raw_responses_days  = optional(number)
    deleted_images_days = optional(number, 30)
  })
  default  = {}
  nullable = false
}

variable "alarm_emails" {
  description = "E-mail addresses that receive alarms."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "monthly_budget_usd" {
  description = "Monthly budget of the account in US dollars. AWS sends an alert at 80 % of it and when the forecast exceeds it. Null sets no budget."
  type        = number
  default     = null
}

variable "archive" {
  description = "Keep months of detections that retention.detections_months drops as Parquet in a bucket, with a table of Athena for these detectors (docs/archive.md). Null: drop them."
  type = object({
    detectors    = list(string)
    first_month  = optional(string, "2020-01")
    max_query_gb = optional(number, 100)
  })
  default = null
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 30
  nullable    = false

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
  nullable    = false

  validation {
    condition     = alltrue([for name in var.analysts : can(regex("^[a-z][a-z0-9_]{0,39}$", name))])
    error_message = "analysts must be names of up to 40 lower-case letters, digits and underscores."
  }
}

variable "analyst_connections" {
  description = "Maximum number of concurrent connections of each analyst."
  type        = number
  default     = 5
  nullable    = false
}

variable "database_clients" {
  description = "Others than tasks who may reach the database, such as a VPN: security groups by name, and address ranges. People still sign in with IAM."
  type = object({
    security_group_ids = optional(map(string), {})
    cidr_blocks        = optional(set(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name, id in var.database_clients.security_group_ids : try(startswith(id, "sg-"), false) && name != "workers"])
    error_message = "database_clients.security_group_ids are IDs such as sg-0123456789abcdef0, by names other than workers."
  }
}
