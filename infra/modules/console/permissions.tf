# The console's permissions in AWS: read images, and sign in to the database as two logins, of which
# one only reads and the other only calls the functions of reviews.

resource "aws_iam_role_policy" "task" {
  name = "show"
  role = module.task.task_role.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "SignInToTheDatabase"
        Effect   = "Allow"
        Action   = ["rds-db:connect"]
        Resource = [var.database.reader.login_arn, var.database.reviewer.login_arn]
      },
      {
        Sid      = "ReadImages"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectVersion"]
        Resource = [for arn in var.images.bucket_arns : "${arn}/*"]
      },
      {
        # Without it S3 answers "forbidden" for an object that was deleted.
        Sid      = "TellDeletedFromForbidden"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = var.images.bucket_arns
      },
      {
        # Called by S3 on the console's behalf, never by the console.
        Sid       = "DecryptImages"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = concat([var.task.key_arn], var.images.key_arns)
        Condition = { StringEquals = { "kms:ViaService" = "s3.${data.aws_region.current.id}.amazonaws.com" } }
      },
    ]
  })
}
