# A task that runs once for each deployment: `retinue migrate`. Terraform describes it; `outputs.run`
# is what to give to `aws ecs run-task`. `make smoke` runs it with another command, `retinue query`,
# and RETINUE_DATABASE_AUTH=iam: the database isn't reachable from outside the network.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

module "task" {
  source = "../task"

  task    = var.task
  purpose = "migrations"
  command = concat(["migrate"], length(var.analysts) == 0 ? [] : concat(
    ["--analyst-connections", tostring(var.analyst_connections)],
    flatten([for name in var.analysts : ["--analyst", name]]),
  ))

  # `retinue forget` runs in this task too.
  environment = merge(
    { RETINUE_DATABASE_URL = var.database.url, RETINUE_QUERY_DATABASE_URL = var.analyst.url },
    var.archive == null ? {} : { RETINUE_ARCHIVE = var.archive.uri },
  )
  secrets = {
    PGUSER     = "${var.database.secret_arn}:username::"
    PGPASSWORD = "${var.database.secret_arn}:password::"
  }
  secrets_key_arn = var.database.secret_key_arn
  loses_no_output = true
}

resource "aws_iam_role_policy" "task" {
  name = "ask"
  role = module.task.task_role.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Sid      = "SignInAsAnalyst"
      Effect   = "Allow"
      Action   = ["rds-db:connect"]
      Resource = [var.analyst.login_arn]
      }], [for collections in [var.collection_ids] : {
      # `make retinue OWNER=1 ARGS="faces forget …"` also removes a person's vectors.
      Sid    = "ForgetFaces"
      Effect = "Allow"
      Action = ["rekognition:DeleteFaces", "rekognition:DescribeCollection", "rekognition:ListFaces"]
      Resource = [for id in sort(tolist(collections)) : join(":", [
        "arn", data.aws_partition.current.partition, "rekognition", data.aws_region.current.id,
        data.aws_caller_identity.current.account_id, "collection/${id}",
      ])]
      } if length(collections) > 0], [for statement in [
      # `make retinue OWNER=1 ARGS="models stop"` also asks which of them run.
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
      {
        Sid      = "StopModels"
        Effect   = "Allow"
        Action   = ["rekognition:StopProjectVersion"]
        Resource = sort(tolist(var.model_arns))
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
    Statement = [for statement in var.archive.write_statements : { for name, value in statement : name => value if value != null }]
  })
}
