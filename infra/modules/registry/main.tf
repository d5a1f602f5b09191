# Container images. One registry serves all environments, so that production runs the very image
# that was tried in dev.

data "aws_partition" "current" {}

resource "aws_ecr_repository" "this" {
  name                 = var.name
  image_tag_mutability = "IMMUTABLE" # a tag always means the same image, so rolling back is exact
  force_delete         = var.force_delete

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = var.key_arn
  }
}

# Environments in other accounts run the same image. Their own policies must allow it, too.
resource "aws_ecr_repository_policy" "this" {
  count = length(var.pull_account_ids) == 0 ? 0 : 1

  repository = aws_ecr_repository.this.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OtherAccountsPull"
      Effect    = "Allow"
      Principal = { AWS = [for account in var.pull_account_ids : "arn:${data.aws_partition.current.partition}:iam::${account}:root"] }
      Action    = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    }]
  })
}

resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name

  policy = jsonencode({
    # An image that matches a rule is out of reach of those that follow.
    rules = concat([for index, environment in sort(tolist(var.environments)) :
      {
        rulePriority = 1 + index
        description  = "What ${environment} runs or ran: make deploy tags it"
        selection    = { tagStatus = "tagged", tagPrefixList = ["deployed_${environment}_"], countType = "imageCountMoreThan", countNumber = 20 }
        action       = { type = "expire" }
      }
      ], [
      {
        rulePriority = 101
        description  = "Enough tags to roll back to"
        selection    = { tagStatus = "tagged", tagPatternList = ["*"], countType = "imageCountMoreThan", countNumber = var.keep_images }
        action       = { type = "expire" }
      },
      {
        # Signatures and attestations have no tag. ECR deletes them with their image, and doesn't document that
        # rules for untagged images spare them before.
        rulePriority = 102
        description  = "What no image needs"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 365 }
        action       = { type = "expire" }
      },
    ])
  })
}
