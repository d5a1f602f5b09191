# Jobs on videos: Rekognition publishes the end of each to a topic that the pool's queue is subscribed to. The
# message is only a hint to look at the job. The role is Rekognition's, and the workers pass it.

locals {
  video_detectors = [for detector in keys(var.config.detectors) : detector if startswith(detector, "rekognition-video-")]
  has_videos      = length(local.video_detectors) > 0

  # The options by which each detector of videos hears of the end of its jobs.
  video_options = { for detector in local.video_detectors : detector => {
    notification_topic_arn = aws_sns_topic.jobs[0].arn
    notification_role_arn  = aws_iam_role.jobs[0].arn
  } }
}

resource "aws_sns_topic" "jobs" {
  count = local.has_videos ? 1 : 0

  name              = "${local.name}-jobs"
  kms_master_key_id = var.task.key_arn
}

resource "aws_sns_topic_policy" "jobs" {
  count = local.has_videos ? 1 : 0

  arn = aws_sns_topic.jobs[0].arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyByTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.jobs[0].arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

resource "aws_iam_role" "jobs" {
  count = local.has_videos ? 1 : 0

  name_prefix          = "${substr(local.name, 0, 32)}-jobs-"
  description          = "Rekognition publishes the end of jobs of ${local.name}"
  permissions_boundary = var.task.boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "rekognition.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "jobs" {
  count = local.has_videos ? 1 : 0

  name = "publish"
  role = aws_iam_role.jobs[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Publish"
        Effect   = "Allow"
        Action   = ["sns:Publish"]
        Resource = [aws_sns_topic.jobs[0].arn]
      },
      {
        # Called by SNS on behalf of the role, because the topic is encrypted.
        Sid       = "EncryptMessages"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = [var.task.key_arn]
        Condition = { StringEquals = { "kms:ViaService" = "sns.${local.region}.amazonaws.com" } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "jobs" {
  count = local.has_videos ? 1 : 0

  topic_arn            = aws_sns_topic.jobs[0].arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.this.arn
  raw_message_delivery = true

  depends_on = [aws_sqs_queue_policy.this] # or the first messages are lost
}
