# From a tag to an image pinned by digest. A tag that does not exist ends the plan.

data "aws_ecr_repository" "this" {
  count = var.uri == null ? 1 : 0

  name = var.repository_name
}

data "aws_ecr_image" "cpu" {
  count = var.uri == null ? 1 : 0

  repository_name = var.repository_name
  image_tag       = "${var.tag}${var.arm64 ? "-arm64" : ""}"
}

data "aws_ecr_image" "cuda" {
  count = var.uri == null && var.cuda ? 1 : 0

  repository_name = var.repository_name
  image_tag       = "${var.tag}-cuda"
}

data "aws_partition" "current" {}

locals {
  # Account, region and name of a repository that `uri` names, perhaps of another account.
  ecr = try(regex("^([0-9]{12})[.]dkr[.]ecr[.]([a-z0-9-]+)[.]amazonaws[.]com(?:[.]cn)?/([^:@]+)", var.uri), null)

  repository_url = one(data.aws_ecr_repository.this[*].repository_url)

  cpu  = var.uri != null ? var.uri : "${local.repository_url}@${data.aws_ecr_image.cpu[0].image_digest}"
  cuda = !var.cuda ? null : var.uri != null ? var.uri : "${local.repository_url}@${data.aws_ecr_image.cuda[0].image_digest}"
}
