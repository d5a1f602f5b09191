# The endpoints of AWS's services. Interface endpoints cost by the hour, zone and gigabyte; S3's gateway is free.

locals {
  object_arns = [
    for object in var.objects :
    "arn:${data.aws_partition.current.partition}:s3:::${trimprefix(split("?versionId=", split("#", object)[0])[0], "s3://")}"
    if startswith(object, "s3://")
  ]

  services = concat(
    ["ecr.api", "ecr.dkr", "logs", "secretsmanager", "sqs"],
    var.rekognition ? ["rekognition"] : [],
    var.container_instances ? ["ecs", "ecs-agent", "ecs-telemetry"] : [],
    var.event_buses ? ["events"] : [],
  )

  # Not every service is in every zone. An endpoint in one zone serves the tasks of all zones.
  service_zones = {
    for service, found in data.aws_vpc_endpoint_service.interface :
    service => [for zone in local.zones : zone if contains(found.availability_zones, zone)]
  }

  # Credentials of other accounts are of no use from inside this network.
  only_this_account = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyThisAccount"
      Effect    = "Allow"
      Principal = "*"
      Action    = "*"
      Resource  = "*" # the policies of this account's principals decide
      Condition = { StringEquals = { "aws:PrincipalAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })
}

data "aws_vpc_endpoint_service" "interface" {
  for_each = local.endpoints ? toset(local.services) : toset([])

  service_name = "com.amazonaws.${local.region}.${each.key}"
  service_type = "Interface"
}

resource "aws_security_group" "endpoints" {
  count = local.endpoints ? 1 : 0

  name_prefix = "${var.name}-endpoints-"
  description = "VPC endpoints of ${var.name}: TLS from the workers"
  vpc_id      = local.vpc_id
  tags        = { Name = "${var.name}-endpoints" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints_from_worker" {
  count = local.endpoints ? 1 : 0

  security_group_id            = aws_security_group.endpoints[0].id
  description                  = "TLS from the workers"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.worker.id
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.endpoints ? toset(local.services) : toset([])

  vpc_id              = local.vpc_id
  service_name        = data.aws_vpc_endpoint_service.interface[each.key].service_name
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  security_group_ids  = [aws_security_group.endpoints[0].id]
  policy              = local.only_this_account
  tags                = { Name = "${var.name}-${each.key}" }
  subnet_ids = [
    for number, zone in local.service_zones[each.key] : aws_subnet.private[zone].id if number < var.endpoint_zone_count
  ]

  lifecycle {
    precondition {
      condition     = length(local.service_zones[each.key]) > 0
      error_message = "The service ${each.key} has no endpoints in ${join(", ", local.zones)}. Set zone_ids to zones that have it, or egress to nat or public. It is in ${join(", ", data.aws_vpc_endpoint_service.interface[each.key].availability_zones)}."
    }
  }
}

resource "aws_vpc_endpoint" "s3" {
  count = local.own ? 1 : 0

  vpc_id            = local.vpc_id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [for table in aws_route_table.private : table.id]
  tags              = { Name = "${var.name}-s3" }

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid       = "ImagesForThisAccount"
        Effect    = "Allow"
        Principal = "*"
        Action = [
          "s3:GetBucketVersioning", "s3:GetObject", "s3:GetObjectTagging", "s3:GetObjectVersion",
          "s3:GetObjectVersionTagging", "s3:ListBucket", "s3:ListBucketVersions",
        ]
        Resource  = flatten([for arn in var.bucket_arns : [arn, "${arn}/*"]])
        Condition = { StringEquals = { "aws:PrincipalAccount" = data.aws_caller_identity.current.account_id } }
      },
      {
        # ECR keeps image layers in a bucket of its own and hands out signed links to it.
        Sid       = "LayersOfContainerImages"
        Effect    = "Allow"
        Principal = "*"
        Action    = "s3:GetObject"
        Resource  = "arn:${data.aws_partition.current.partition}:s3:::prod-${local.region}-starport-layer-bucket/*"
      },
      ], [for arns in [var.archive_bucket_arns] : {
        Sid       = "ArchiveForThisAccount"
        Effect    = "Allow"
        Principal = "*"
        Action = [
          "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject", "s3:ListBucket",
          "s3:ListBucketVersions", "s3:PutObject",
        ]
        Resource  = flatten([for arn in arns : [arn, "${arn}/*"]])
        Condition = { StringEquals = { "aws:PrincipalAccount" = data.aws_caller_identity.current.account_id } }
        } if length(arns) > 0], [for arns in [local.object_arns] : {
        Sid       = "ObjectsOfOptionsForThisAccount"
        Effect    = "Allow"
        Principal = "*"
        Action    = ["s3:GetObject", "s3:GetObjectVersion"]
        Resource  = arns
        Condition = { StringEquals = { "aws:PrincipalAccount" = data.aws_caller_identity.current.account_id } }
    } if length(arns) > 0])
  })
}
