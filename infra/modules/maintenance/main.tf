# Runs `retinue maintain` once a day, as the tables' owner: the partitions of the coming months are
# created, and rows past their retention are deleted. Nothing else deletes rows by age. Before an image
# is deleted, the task asks S3 whether the object still exists.

module "task" {
  source = "../task"

  task    = var.task
  purpose = "maintenance"
  command = ["maintain"]

  # An unset variable means no limit.
  environment = merge(
    { RETINUE_DATABASE_URL = var.database.url },
    { for name, value in {
      RETINUE_RETENTION_DETECTIONS_MONTHS   = var.retention.detections_months
      RETINUE_RETENTION_RAW_RESPONSES_DAYS  = var.retention.raw_responses_days
      RETINUE_RETENTION_DELETED_IMAGES_DAYS = var.retention.deleted_images_days
      RETINUE_ARCHIVE                       = var.archive == null ? null : var.archive.uri
    } : name => tostring(value) if value != null },
  )
  secrets = {
    PGUSER     = "${var.database.secret_arn}:username::"
    PGPASSWORD = "${var.database.secret_arn}:password::"
  }
  secrets_key_arn = var.database.secret_key_arn
}

resource "aws_iam_role_policy" "task" {
  name = "ask-whether-images-are-gone"
  role = module.task.task_role.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "ListVersions"
      Effect   = "Allow"
      Action   = ["s3:ListBucketVersions"]
      Resource = var.bucket_arns
    }]
  })
}

# Statements without a condition have none, rather than null, which IAM refuses.
resource "aws_iam_role_policy" "archive" {
  count = var.archive == null ? 0 : 1

  name = "archive"
  role = module.task.task_role.name

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [for statement in var.archive.write_statements : { for name, value in statement : name => value if value != null }]
  })
}

module "schedule" {
  source = "../schedule"

  task            = var.task
  purpose         = "maintenance"
  description     = "Makes the coming months, and drops expired rows"
  expression      = "cron(${var.at.minute} ${var.at.hour} * * ? *)"
  overdue_hours   = 49 # one day may fail: months are made well ahead
  last_line       = "maintenance is done"
  definition      = module.task.definition
  alarm_topic_arn = var.alarm_topic_arn
}
