variable "name" {
  description = "Name of the environment, and prefix of all names."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, such as retinue-dev."
  }
}

variable "existing" {
  description = "A VPC of yours, instead of one made here: its id and private subnets in two zones or more, with a way to S3, SQS, ECR, CloudWatch Logs, Secrets Manager and Rekognition."
  type = object({
    vpc_id     = string
    subnet_ids = list(string)
  })
  default = null

  validation {
    condition     = var.existing == null || can(regex("^vpc-[0-9a-f]+$", var.existing.vpc_id))
    error_message = "existing.vpc_id must be the id of a VPC, such as vpc-0123456789abcdef0."
  }

  validation {
    condition     = var.existing == null || try(length(distinct(var.existing.subnet_ids)) >= 2 && alltrue([for id in var.existing.subnet_ids : startswith(id, "subnet-")]), false)
    error_message = "existing.subnet_ids must name at least two subnets (subnet-…), in different zones: RDS wants two."
  }
}

variable "cidr" {
  description = "Addresses of the VPC. Each zone's subnet is a sixteenth of it."
  type        = string
  default     = "10.42.0.0/16"

  validation {
    condition     = can(cidrsubnet(var.cidr, 4, 15)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 22, false)
    error_message = "cidr must be an IPv4 range from /16 to /22, such as 10.42.0.0/16."
  }
}

variable "zone_count" {
  description = "In how many availability zones to have subnets."
  type        = number
  default     = 2

  validation {
    condition     = contains([2, 3], var.zone_count)
    error_message = "zone_count must be 2 or 3: RDS wants two zones."
  }
}

variable "endpoint_zone_count" {
  description = "In how many zones to have the interface endpoints or NAT gateways. Each costs by the hour and zone; with one, losing that zone stops the workers."
  type        = number
  default     = 2

  validation {
    condition     = contains([1, 2, 3], var.endpoint_zone_count)
    error_message = "endpoint_zone_count must be 1, 2 or 3."
  }
}

variable "container_instances" {
  description = "Whether EC2 instances run tasks (pools with a GPU): their agent needs three more endpoints."
  type        = bool
  default     = false
}

variable "rekognition" {
  description = "Whether tasks call Rekognition, which then needs an endpoint. Not every region has it."
  type        = bool
  default     = true
}

variable "event_buses" {
  description = "Whether workers publish to EventBridge, which then needs an endpoint."
  type        = bool
  default     = false
}

variable "bucket_arns" {
  description = "ARNs of the buckets with images: the only ones to be read from inside the VPC."
  type        = list(string)

  validation {
    condition     = length(var.bucket_arns) > 0 && alltrue([for arn in var.bucket_arns : can(regex("^arn:[a-z-]+:s3:::[^/*]+$", arn))])
    error_message = "bucket_arns must hold at least one ARN of a bucket, such as arn:aws:s3:::my-images."
  }
}

variable "archive_bucket_arns" {
  description = "ARNs of buckets with archived detections, which tasks may read and write from inside the VPC."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.archive_bucket_arns : can(regex("^arn:[a-z-]+:s3:::[^/*]+$", arn))])
    error_message = "archive_bucket_arns must hold ARNs of buckets, such as arn:aws:s3:::my-archive."
  }
}

variable "objects" {
  description = "Files that detectors' options name: models and reference images. Those in S3, such as s3://my-models/birds/3/model.onnx, can be read from inside the VPC."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for object in var.objects : object != ""])
    error_message = "objects must hold paths or addresses of files, none of them empty."
  }
}

variable "key_arn" {
  description = "ARN of the KMS key that encrypts the flow log."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.key_arn))
    error_message = "key_arn must be the ARN of a KMS key."
  }
}

variable "log_retention_days" {
  description = "How long the flow log is kept, in days."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days must be a number that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}

variable "zone_ids" {
  description = "IDs of the availability zones to use, such as euw1-az1, instead of the first zone_count. Names of zones mean other zones in each account. Interface endpoints are made in those of the zones that have the service."
  type        = list(string)
  default     = null

  validation {
    condition     = var.zone_ids == null || (contains([2, 3], length(distinct(coalesce(var.zone_ids, [])))) && alltrue([for id in coalesce(var.zone_ids, []) : can(regex("^[a-z0-9]+-az[0-9]+$", id))]))
    error_message = "zone_ids must be null or two or three IDs of availability zones, such as euw1-az1."
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

variable "egress" {
  description = "How tasks in a new VPC reach AWS: endpoints, nat or public."
  type        = string
  default     = "endpoints"

  validation {
    condition     = contains(["endpoints", "nat", "public"], var.egress)
    error_message = "egress must be endpoints, nat or public."
  }
}
