# The queue, its policy, and the dead-letter queue for messages that could not be recorded.

resource "aws_sqs_queue" "dead" {
  name                      = "${local.name}-dead"
  message_retention_seconds = 1209600 # 14 days, the longest there is
  kms_master_key_id         = var.task.key_arn
}

resource "aws_sqs_queue" "this" {
  name                              = local.name
  visibility_timeout_seconds        = var.config.visibility_timeout_seconds
  receive_wait_time_seconds         = 20
  message_retention_seconds         = 1209600
  kms_master_key_id                 = var.task.key_arn
  kms_data_key_reuse_period_seconds = 3600

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead.arn
    maxReceiveCount     = var.config.max_receive_count
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "dead" {
  queue_url = aws_sqs_queue.dead.id

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.this.arn]
  })
}

resource "aws_sqs_queue_policy" "this" {
  queue_url = aws_sqs_queue.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid       = "TheTopicsDeliver"
        Effect    = "Allow"
        Principal = { Service = "sns.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.this.arn
        Condition = { ArnEquals = { "aws:SourceArn" = concat(values(var.events.topic_arns), aws_sns_topic.jobs[*].arn) } }
      },
      {
        Sid       = "OnlyByTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = aws_sqs_queue.this.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      ], [for rule in aws_cloudwatch_event_rule.images : {
        Sid       = "EventBridgeDelivers"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.this.arn
        Condition = { ArnEquals = { "aws:SourceArn" = rule.arn } }
    }])
  })
}

resource "aws_sqs_queue_policy" "dead" {
  queue_url = aws_sqs_queue.dead.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TopicsAndEventBridgeLeaveWhatTheyCannotDeliver"
        Effect    = "Allow"
        Principal = { Service = ["sns.amazonaws.com", "events.amazonaws.com"] }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.dead.arn
        Condition = { ArnEquals = { "aws:SourceArn" = concat(values(var.events.topic_arns), aws_cloudwatch_event_rule.images[*].arn) } }
      },
      {
        Sid       = "OnlyByTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = aws_sqs_queue.dead.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

locals {
  # SNS joins the values of one field by OR, so prefixes and suffixes cannot both be asked for.
  key_patterns = concat(
    [for prefix in var.config.key_prefixes : { prefix = prefix }],
    [for suffix in var.config.key_suffixes : { suffix = suffix }],
  )
}

resource "aws_sns_topic_subscription" "this" {
  for_each = var.events.topic_arns

  topic_arn            = each.value
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.this.arn
  raw_message_delivery = true

  # SNS leaves here what the queue refuses, for example because its policy is wrong.
  redrive_policy = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead.arn })

  filter_policy_scope = length(local.key_patterns) == 0 ? null : "MessageBody"
  filter_policy = length(local.key_patterns) == 0 ? null : jsonencode({
    Records = { s3 = { object = { key = [
      # S3 encodes keys in these events, and not in those of EventBridge.
      for pattern in local.key_patterns : { for kind, text in pattern : kind => replace(urlencode(text), "%2F", "/") }
    ] } } }
  })

  depends_on = [aws_sqs_queue_policy.this, aws_sqs_queue_policy.dead] # or the first messages are lost
}
