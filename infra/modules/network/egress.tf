# Ways to the internet, for `egress` other than endpoints. With nat, tasks stay in private subnets, and a NAT
# gateway in a public subnet of their zone sends for them. With public, the tasks' own subnets have a
# route to the internet, and each task has a public address that nothing can connect to.

locals {
  nat_zones = local.own && var.egress == "nat" ? slice(local.zones, 0, min(var.endpoint_zone_count, length(local.zones))) : []
}

resource "aws_internet_gateway" "this" {
  count = local.own && var.egress != "endpoints" ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  tags   = { Name = var.name }
}

resource "aws_route" "public" {
  for_each = local.own && var.egress == "public" ? toset(local.zones) : toset([])

  route_table_id         = aws_route_table.private[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

resource "aws_subnet" "nat" {
  for_each = toset(local.nat_zones)

  vpc_id                  = aws_vpc.this[0].id
  availability_zone       = each.key
  cidr_block              = cidrsubnet(var.cidr, 4, 8 + index(local.zones, each.key))
  map_public_ip_on_launch = false
  tags                    = { Name = "${var.name}-nat-${each.key}" }
}

resource "aws_route_table" "nat" {
  count = length(local.nat_zones) > 0 ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  tags   = { Name = "${var.name}-nat" }
}

resource "aws_route" "nat" {
  count = length(local.nat_zones) > 0 ? 1 : 0

  route_table_id         = aws_route_table.nat[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

resource "aws_route_table_association" "nat" {
  for_each = aws_subnet.nat

  subnet_id      = each.value.id
  route_table_id = aws_route_table.nat[0].id
}

resource "aws_eip" "nat" {
  for_each = toset(local.nat_zones)

  domain = "vpc"
  tags   = { Name = "${var.name}-nat-${each.key}" }
}

resource "aws_nat_gateway" "this" {
  for_each = aws_subnet.nat

  allocation_id = aws_eip.nat[each.key].id
  subnet_id     = each.value.id
  tags          = { Name = "${var.name}-${each.key}" }

  depends_on = [aws_route.nat]
}

# A zone without a NAT gateway of its own uses the first one's.
resource "aws_route" "private" {
  for_each = toset(length(local.nat_zones) > 0 ? local.zones : [])

  route_table_id         = aws_route_table.private[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[contains(local.nat_zones, each.key) ? each.key : local.nat_zones[0]].id
}
