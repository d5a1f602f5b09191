# One customer managed key for everything an environment stores: images, messages, logs, rows,
# secrets. AWS's own keys would not do: S3 may not publish to a topic that is encrypted with one.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.id
}

resource "aws_kms_key" "this" {
  description             = "Encrypts the data of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_window_days

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid       = "AccountDecidesByIam"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*" # in a key policy: this key
      },
      {
        Sid    = "ServicesThatPublishAndDeliver"
        Effect = "Allow"
        Principal = { Service = [
          "budgets.amazonaws.com",
          "cloudwatch.amazonaws.com",
          "s3.amazonaws.com",
          "sns.amazonaws.com",
        ] }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*" # in a key policy: this key
        Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
      },
      {
        # Without a condition: "Adding the aws:SourceAccount, aws:SourceArn, and aws:SourceOrgID to a AWS KMS
        # policy is not supported for EventBridge-to-encrypted topics" (SNS Developer Guide, Key management).
        # The policies of topics and queues decide what EventBridge may send.
        Sid       = "EventBridgeDelivers"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*" # in a key policy: this key
      },
      {
        Sid       = "LogGroupsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "logs.${local.region}.amazonaws.com" }
        Action    = ["kms:Decrypt*", "kms:DescribeKey", "kms:Encrypt*", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
        Resource  = "*" # in a key policy: this key
        Condition = { ArnLike = {
          "kms:EncryptionContext:aws:logs:arn" = "arn:${local.partition}:logs:${local.region}:${local.account_id}:*"
        } }
      },
      ], [for accounts in [var.topic_account_ids] : {
        Sid       = "TopicsOfOtherAccountsDeliver"
        Effect    = "Allow"
        Principal = { Service = "sns.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*" # in a key policy: this key
        Condition = { StringEquals = { "aws:SourceAccount" = sort(accounts) } }
    } if length(accounts) > 0])
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}
