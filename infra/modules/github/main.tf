# Roles for the workflows of a GitHub repository, which sign in with GitHub's OpenID tokens and have no keys. One
# pushes container images, one plans, and one deploys, for a GitHub environment that people approve.
# The policies come from the calls that a deployment makes (tests/infra/deployer.py).

locals {
  roles = {
    image  = { policies = ["image"], subjects = ["ref:refs/heads/main"] }
    plan   = { policies = ["plan"], subjects = ["ref:refs/heads/main"] }
    deploy = { policies = ["plan", "image", "deploy"], subjects = [for name in sort(tolist(var.environments)) : "environment:${name}"] }
  }
  policies = toset(["image", "plan", "deploy"])
  issuer   = "token.actions.githubusercontent.com"
  provider = coalesce(var.provider_arn, one(aws_iam_openid_connect_provider.this[*].arn))
}

resource "aws_iam_openid_connect_provider" "this" {
  count = var.provider_arn == null ? 1 : 0

  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_policy" "this" {
  # checkov:skip=CKV_AWS_286:a deployer creates roles; the boundary limits them
  # checkov:skip=CKV_AWS_287:a deployer reads and writes Terraform's state
  # checkov:skip=CKV_AWS_288:a deployer reads and writes Terraform's state
  # checkov:skip=CKV_AWS_289:a deployer creates roles; the boundary limits them
  # checkov:skip=CKV_AWS_290:EC2, ECS and KMS have resources without names
  # checkov:skip=CKV_AWS_355:EC2, ECS and KMS have resources without names
  for_each = local.policies

  name        = "retinue-github-${each.key}"
  description = "What ${each.key} needs in a workflow of ${var.repository}"
  policy      = jsonencode(jsondecode(file("${path.module}/../../bootstrap/policies/${each.key}.json")))
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name                 = "retinue-github-${each.key}"
  description          = "Workflows of ${var.repository}: ${each.key}"
  max_session_duration = 7200
  permissions_boundary = var.boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = local.provider }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = { StringEquals = {
        "${local.issuer}:aud" = "sts.amazonaws.com"
        "${local.issuer}:sub" = [for subject in each.value.subjects : "repo:${var.repository}:${subject}"]
      } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each = merge([for role, about in local.roles : { for policy in about.policies : "${role}-${policy}" => { role = role, policy = policy } }]...)

  role       = aws_iam_role.this[each.value.role].name
  policy_arn = aws_iam_policy.this[each.value.policy].arn
}
