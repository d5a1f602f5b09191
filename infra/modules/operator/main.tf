# A task for operators: `make retinue ENV=… ARGS="failures --since 1d"` runs any command of retinue in
# it, inside the network, where the database and the queues are reachable. It reads the history, moves
# messages, and looks at hosted models. What takes the owner's rights runs in the migrations' task.

data "aws_region" "current" {}

module "task" {
  source = "../task"

  task    = var.task
  purpose = "operator"
  command = ["failures"]

  loses_no_output = true

  # A query of the archive may take 1 GB in DuckDB, and 3 GB in all.
  cpu    = var.archive == null ? 256 : 1024
  memory = var.archive == null ? 512 : 4096

  environment = merge(
    {
      RETINUE_DATABASE_URL       = var.analyst.url
      RETINUE_QUERY_DATABASE_URL = var.analyst.url
      RETINUE_DATABASE_AUTH      = "iam"
    },
    var.archive == null ? {} : { RETINUE_ARCHIVE = var.archive.uri },
  )
}

# docs/redrive.md lists these permissions, and a test compares them.
resource "aws_iam_role_policy" "task" {
  name = "operate"
  role = module.task.task_role.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "SignInAsAnalyst"
        Effect   = "Allow"
        Action   = ["rds-db:connect"]
        Resource = [var.analyst.login_arn]
      },
      {
        Sid      = "SendMessages"
        Effect   = "Allow"
        Action   = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SendMessage"]
        Resource = var.queue_arns
      },
      {
        Sid    = "MoveDeadLetters"
        Effect = "Allow"
        Action = [
          "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl",
          "sqs:ReceiveMessage",
        ]
        Resource = var.dead_letter_queue_arns
      },
      {
        Sid      = "ListImages"
        Effect   = "Allow"
        Action   = ["s3:GetBucketVersioning", "s3:ListBucket", "s3:ListBucketVersions"]
        Resource = var.bucket_arns
      },
      {
        # Called by SQS on the task's behalf.
        Sid       = "EncryptMessages"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = [var.task.key_arn]
        Condition = { StringEquals = { "kms:ViaService" = "sqs.${data.aws_region.current.id}.amazonaws.com" } }
      },
      ], [for statement in [
        {
          Sid      = "FindProjects"
          Effect   = "Allow"
          Action   = ["rekognition:DescribeProjects"]
          Resource = ["*"] # AWS knows no resource for it
        },
        {
          # A project's own ARN ends in a number that is not in its versions' ARNs.
          Sid      = "LookAtModels"
          Effect   = "Allow"
          Action   = ["rekognition:DescribeProjectVersions"]
          Resource = sort(distinct([for arn in var.model_arns : "${split("/version/", arn)[0]}/*"]))
        },
    ] : statement if length(var.model_arns) > 0])
  })
}

# Statements without a condition have none, rather than null, which IAM refuses.
resource "aws_iam_role_policy" "archive" {
  count = var.archive == null ? 0 : 1

  name = "archive"
  role = module.task.task_role.name

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [for statement in var.archive.read_statements : { for name, value in statement : name => value if value != null }]
  })
}
