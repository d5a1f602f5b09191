# Events of buckets that have EventBridge enabled: a rule brings them to the queue. A rule leaves the
# bucket's notifications as they are, so existing buckets can have others' as well.

resource "aws_cloudwatch_event_rule" "images" {
  count = length(var.events.buckets) > 0 ? 1 : 0

  name        = "${local.name}-images"
  description = "Images created and removed, for the pool ${var.pool_name}"

  event_pattern = jsonencode({
    source      = ["aws.s3"]
    account     = sort(distinct([for bucket in values(var.events.buckets) : bucket.account_id]))
    detail-type = ["Object Created", "Object Deleted"]
    detail = merge(
      { bucket = { name = sort([for bucket in values(var.events.buckets) : bucket.name]) } },
      { for patterns in [local.key_patterns] : "object" => { key = patterns } if length(patterns) > 0 },
    )
  })
}

resource "aws_cloudwatch_event_target" "queue" {
  count = length(var.events.buckets) > 0 ? 1 : 0

  rule = aws_cloudwatch_event_rule.images[0].name
  arn  = aws_sqs_queue.this.arn

  # EventBridge leaves here what the queue refuses, for example because its policy is wrong.
  dead_letter_config {
    arn = aws_sqs_queue.dead.arn
  }

  depends_on = [aws_sqs_queue_policy.this, aws_sqs_queue_policy.dead] # or the first messages are lost
}

locals {
  rule_alarms = {
    undelivered = {
      metric      = "FailedInvocations"
      description = "EventBridge could not deliver events of images: are the policies of the queue and of the key right? They are in the dead-letter queue, unless ${local.name}-events-lost goes off."
    }
    lost = {
      metric      = "InvocationsFailedToBeSentToDlq"
      description = "EventBridge has lost events of images, because it could not leave them in the dead-letter queue. Restore its policy, then use `retinue backfill`."
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "rule" {
  for_each = { for name, alarm in local.rule_alarms : name => alarm if length(var.events.buckets) > 0 }

  alarm_name          = "${local.name}-events-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/Events"
  metric_name         = each.value.metric
  dimensions          = { RuleName = aws_cloudwatch_event_rule.images[0].name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}
