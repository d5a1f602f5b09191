# Subnets in a new VPC. By default they have no way to the internet: tasks reach AWS through VPC endpoints
# (endpoints.tf). Other ways are in egress.tf. With `existing`, the VPC and its access to AWS exist already.

data "aws_availability_zones" "available" {
  # checkov:skip=CKV_AWS_394:zone_ids names the zones of an environment that must not move
  state = var.zone_ids == null ? "available" : null # a named zone stays while it is impaired

  # Local zones, which an account may have opted in to, have no place for a database.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

data "aws_region" "current" {}
data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  own        = var.existing == null
  endpoints  = local.own && var.egress == "endpoints"
  named      = var.zone_ids == null ? null : [for id in var.zone_ids : data.aws_availability_zones.available.names[index(data.aws_availability_zones.available.zone_ids, id)]]
  zones      = local.own ? coalesce(local.named, slice(data.aws_availability_zones.available.names, 0, var.zone_count)) : []
  vpc_id     = local.own ? aws_vpc.this[0].id : var.existing.vpc_id
  subnet_ids = local.own ? [for zone in local.zones : aws_subnet.private[zone].id] : var.existing.subnet_ids
  region     = data.aws_region.current.id
}

resource "aws_vpc" "this" {
  count = local.own ? 1 : 0

  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

# The default security group lets its members talk to each other: take that away.
resource "aws_default_security_group" "this" {
  count = local.own ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  tags   = { Name = "${var.name}-default-unused" }
}

resource "aws_subnet" "private" {
  for_each = toset(local.zones)

  vpc_id                  = aws_vpc.this[0].id
  availability_zone       = each.key
  cidr_block              = cidrsubnet(var.cidr, 4, index(local.zones, each.key))
  map_public_ip_on_launch = false
  tags                    = { Name = "${var.name}-private-${each.key}" }
}

resource "aws_route_table" "private" {
  for_each = toset(local.zones)

  vpc_id = aws_vpc.this[0].id
  tags   = { Name = "${var.name}-private-${each.key}" }
}

resource "aws_route_table_association" "private" {
  for_each = aws_subnet.private

  subnet_id      = each.value.id
  route_table_id = aws_route_table.private[each.key].id
}

resource "aws_security_group" "worker" {
  # checkov:skip=CKV2_AWS_5:tasks wear it, by the network configuration of their service
  name_prefix = "${var.name}-worker-"
  description = "Tasks of ${var.name}: nothing comes in; out to AWS and the database only"
  vpc_id      = local.vpc_id
  tags        = { Name = "${var.name}-worker" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "worker_to_endpoints" {
  count = local.endpoints ? 1 : 0

  security_group_id            = aws_security_group.worker.id
  description                  = "AWS, through the interface endpoints"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.endpoints[0].id
}

resource "aws_vpc_security_group_egress_rule" "worker_to_s3" {
  count = local.own ? 1 : 0

  security_group_id = aws_security_group.worker.id
  description       = "S3, through the gateway endpoint"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  prefix_list_id    = aws_vpc_endpoint.s3[0].prefix_list_id
}

# Without endpoints, the addresses of AWS's services aren't known, so TLS may go anywhere.
resource "aws_vpc_security_group_egress_rule" "worker_to_anywhere" {
  count = local.endpoints ? 0 : 1

  security_group_id = aws_security_group.worker.id
  description       = "AWS, by any route of the VPC"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}
