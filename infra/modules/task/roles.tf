# The execution role is ECS's own, for starting the container; the task role is the program's.

locals {
  assume_by_ecs = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id }
        ArnLike = { "aws:SourceArn" = join(":", [
          "arn", data.aws_partition.current.partition, "ecs", local.region,
          data.aws_caller_identity.current.account_id, "*",
        ]) }
      }
    }]
  })

  # Secrets are named "ARN:json-key::"; the policy needs the ARN alone.
  secret_arns = distinct([for value in values(var.secrets) : join(":", slice(split(":", value), 0, 7))])
}

resource "aws_iam_role" "task" {
  name_prefix          = "${local.role_prefix}-task-"
  description          = "Permissions of ${local.name}"
  assume_role_policy   = local.assume_by_ecs
  permissions_boundary = var.task.boundary_arn
}

resource "aws_iam_role" "execution" {
  name_prefix          = "${local.role_prefix}-exec-"
  description          = "Permissions of ECS to start ${local.name}"
  assume_role_policy   = local.assume_by_ecs
  permissions_boundary = var.task.boundary_arn
}

resource "aws_iam_role_policy" "execution" {
  name = "start"
  role = aws_iam_role.execution.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "Log"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.this.arn}:*"]
      }],
      [for statement in [
        {
          Sid      = "PullImage"
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = [var.task.repository_arn]
        },
        {
          Sid      = "SignInToRegistry"
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = ["*"] # AWS knows no resource for this action
        },
      ] : statement if var.task.repository_arn != null],
      [for statement in [
        {
          Sid      = "ReadSecrets"
          Effect   = "Allow"
          Action   = ["secretsmanager:GetSecretValue"]
          Resource = local.secret_arns
        },
        {
          Sid       = "DecryptSecrets"
          Effect    = "Allow"
          Action    = ["kms:Decrypt"]
          Resource  = distinct([var.task.key_arn, coalesce(var.secrets_key_arn, var.task.key_arn)])
          Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${local.region}.amazonaws.com" } }
        },
      ] : statement if length(var.secrets) > 0],
    )
  })
}

locals {
  # IAM allows 38 characters before what it adds by itself.
  role_prefix = substr(replace(local.name, "/", "-"), 0, 31)
}
