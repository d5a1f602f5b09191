# Basic scanning at each push knows Debian's packages alone. Amazon Inspector also knows Python's, scans again when
# a vulnerability becomes known, and costs per image. It is switched on for all repositories of an account.

resource "aws_ecr_registry_scanning_configuration" "this" {
  count = var.findings_topic_arn == null ? 0 : 1

  scan_type = "ENHANCED"

  rule {
    scan_frequency = "CONTINUOUS_SCAN"

    repository_filter {
      filter      = var.name
      filter_type = "WILDCARD"
    }
  }
}

resource "aws_cloudwatch_event_rule" "findings" {
  count = var.findings_topic_arn == null ? 0 : 1

  name        = "${replace(var.name, "/", "-")}-vulnerabilities"
  description = "High and critical findings of Inspector in images of ${var.name}"

  event_pattern = jsonencode({
    source      = ["aws.inspector2"]
    detail-type = ["Inspector2 Finding"]
    detail = {
      severity  = ["HIGH", "CRITICAL"]
      status    = ["ACTIVE"]
      resources = { details = { awsEcrContainerImage = { repositoryName = [var.name] } } }
    }
  })
}

resource "aws_cloudwatch_event_target" "findings" {
  count = var.findings_topic_arn == null ? 0 : 1

  rule = aws_cloudwatch_event_rule.findings[0].name
  arn  = var.findings_topic_arn
}
