# Makes the folder above a root module: state and provider. `make deploy` copies this file there. Other
# configurations call that folder as a module, with a provider and state of their own (examples/).

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

variable "tags" {
  description = "Tags of all resources, besides Project and Environment."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(var.tags) <= 48 && alltrue([for name in keys(var.tags) : !startswith(lower(name), "aws:") && !contains(["Environment", "Project"], name)])
    error_message = "tags are at most 48. They can't begin with aws:, and Project and Environment are set already."
  }
}

variable "signed_by" {
  description = "Workflow whose Sigstore signature container images must have, or `make deploy` refuses them: identity, https://github.com/OWNER/NAME/.github/workflows/deploy.yml@refs/heads/main, and issuer. Null deploys images without one."
  type = object({
    identity = string
    issuer   = optional(string, "https://token.actions.githubusercontent.com")
  })
  default = null

  validation {
    condition     = var.signed_by == null ? true : startswith(var.signed_by.identity, "https://") && startswith(var.signed_by.issuer, "https://")
    error_message = "signed_by.identity and signed_by.issuer must be https:// addresses."
  }
}

terraform {
  # `terraform init -backend-config=…` adds the bucket, the region and the key (one for each
  # environment). The bucket encrypts with bootstrap's key; `encrypt = true` would replace that key
  # by S3's own.
  backend "s3" {
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = var.account_id == null ? null : [var.account_id]

  default_tags {
    tags = merge(var.tags, {
      Project     = "retinue"
      Environment = var.environment
    })
  }
}
