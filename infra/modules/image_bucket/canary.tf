# Uploads a small image every few minutes. EventBridge Scheduler copies it by itself: no task runs, and
# each copy is a new version, hence a new image. Pools have the alarms (modules/pool/canary.tf).

data "aws_partition" "current" {}
data "aws_region" "current" {}

resource "aws_s3_object" "canary" {
  count = var.canary_minutes == null ? 0 : 1

  bucket = aws_s3_bucket.this.id
  key    = "canary/source.png"
  source = "${path.module}/canary.png"
  etag   = filemd5("${path.module}/canary.png")

  depends_on = [aws_s3_bucket_server_side_encryption_configuration.this]

  lifecycle {
    ignore_changes = [etag] # with KMS it isn't an MD5
  }
}

resource "aws_scheduler_schedule" "canary" {
  count = var.canary_minutes == null ? 0 : 1

  name                = "${substr(var.name, 0, 57)}-canary" # 64 characters at most
  description         = "Uploads the canary"
  schedule_expression = "rate(${var.canary_minutes} minutes)"
  kms_key_arn         = var.key_arn

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = "arn:${data.aws_partition.current.partition}:scheduler:::aws-sdk:s3:copyObject"
    role_arn = aws_iam_role.canary[0].arn

    input = jsonencode({
      Bucket           = aws_s3_bucket.this.id
      Key              = "canary/image.png"
      CopySource       = "${aws_s3_bucket.this.id}/canary/source.png"
      TaggingDirective = "REPLACE"
    })

    retry_policy {
      maximum_event_age_in_seconds = 300
      maximum_retry_attempts       = 3
    }
  }
}

resource "aws_iam_role" "canary" {
  count = var.canary_minutes == null ? 0 : 1

  name_prefix          = "${substr(var.name, 0, 25)}-canary-"
  permissions_boundary = var.boundary_arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = {
        "aws:SourceAccount" = data.aws_caller_identity.current.account_id
        "aws:SourceArn" = join(":", [
          "arn", data.aws_partition.current.partition, "scheduler", data.aws_region.current.id,
          data.aws_caller_identity.current.account_id, "schedule-group/default",
        ])
      } }
    }]
  })
}

resource "aws_iam_role_policy" "canary" {
  count = var.canary_minutes == null ? 0 : 1

  name = "copy"
  role = aws_iam_role.canary[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Read"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = ["${aws_s3_bucket.this.arn}/canary/source.png"]
      },
      {
        Sid      = "Upload"
        Effect   = "Allow"
        Action   = ["s3:PutObject"]
        Resource = ["${aws_s3_bucket.this.arn}/canary/image.png"]
      },
      {
        # The scheduler decrypts its own target, S3 the image.
        Sid      = "Encrypt"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = [var.key_arn]
      },
    ]
  })
}
