# Prerequisites of an environment: a bucket for Terraform's state, and the registry that
# images are pushed to. Once for an account and region. Its own state is a file, unless you move it
# into the bucket afterwards (README.md). terraform.tfvars in this folder can set its variables.

data "aws_caller_identity" "current" {}

locals {
  environments = [for file in fileset("${path.module}/../environments", "*.tfvars") : trimsuffix(file, ".tfvars")]

  # The deploy program and the policies know this name.
  state_bucket = "retinue-state-${data.aws_caller_identity.current.account_id}-${var.region}"
}

module "key" {
  source = "../modules/key"

  name = "retinue-bootstrap"
}

module "registry" {
  source = "../modules/registry"

  name    = "retinue" # the deploy program and the policies know it
  key_arn = module.key.arn

  pull_account_ids   = var.pull_account_ids
  findings_topic_arn = var.findings_topic_arn
  environments       = local.environments
}

module "github" {
  source = "../modules/github"
  count  = try(var.github.region == var.region, false) ? 1 : 0

  repository   = var.github.repository
  provider_arn = var.github.provider_arn
  boundary_arn = var.github.boundary_arn
  environments = local.environments
}

resource "aws_s3_bucket" "state" {
  # checkov:skip=CKV2_AWS_62:no program waits for a new state
  # checkov:skip=CKV_AWS_144:versions protect against mistakes, and what a state describes is in one region too
  # checkov:skip=CKV_AWS_18:who reads the state is in CloudTrail, and a bucket for logs would want one for its own
  bucket = local.state_bucket

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "state" {
  bucket = aws_s3_bucket.state.id

  versioning_configuration {
    status = "Enabled" # to restore an earlier state
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = module.key.arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "state" {
  bucket                  = aws_s3_bucket.state.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    id     = "old-states"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days           = 90
      newer_noncurrent_versions = 20
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  depends_on = [aws_s3_bucket_versioning.state]
}

resource "aws_s3_bucket_policy" "state" {
  bucket = aws_s3_bucket.state.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyByTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.state.arn, "${aws_s3_bucket.state.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.state]
}
