output "uri" {
  description = "The archive, for RETINUE_ARCHIVE."
  value       = "s3://${aws_s3_bucket.this.id}"
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.this.arn
}

output "write_statements" {
  description = "What a task needs to archive and to forget, as statements of an IAM policy."
  value = [
    {
      Sid      = "ListArchive"
      Effect   = "Allow"
      Action   = ["s3:ListBucket", "s3:ListBucketVersions"]
      Resource = [aws_s3_bucket.this.arn]
    },
    {
      Sid      = "WriteArchive"
      Effect   = "Allow"
      Action   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject", "s3:PutObject"]
      Resource = ["${aws_s3_bucket.this.arn}/manifest.json", "${aws_s3_bucket.this.arn}/data/*", "${aws_s3_bucket.this.arn}/athena/*"]
    },
    {
      Sid       = "EncryptArchive"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource  = [var.key_arn]
      Condition = { StringLike = { "kms:ViaService" = "s3.*.amazonaws.com" } }
    },
  ]
}

output "read_statements" {
  description = "What `retinue query --archive` needs, as statements of an IAM policy."
  value = [
    {
      Sid      = "ListArchive"
      Effect   = "Allow"
      Action   = ["s3:ListBucket"]
      Resource = [aws_s3_bucket.this.arn]
    },
    {
      Sid      = "ReadArchive"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = ["${aws_s3_bucket.this.arn}/manifest.json", "${aws_s3_bucket.this.arn}/data/*"]
    },
    {
      Sid       = "DecryptArchive"
      Effect    = "Allow"
      Action    = ["kms:Decrypt"]
      Resource  = [var.key_arn]
      Condition = { StringLike = { "kms:ViaService" = "s3.*.amazonaws.com" } }
    },
  ]
}

output "athena" {
  description = "The workgroup and database of Athena, and the id of the saved query that creates the view."
  value = {
    workgroup = aws_athena_workgroup.this.name
    database  = aws_glue_catalog_database.this.name
    view      = aws_athena_named_query.detection_history.id
  }
}

output "columns" {
  description = "The columns of Athena's table, without the partition's keys."
  value       = local.columns
}
