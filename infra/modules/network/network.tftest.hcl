mock_provider "aws" {
  source = "../../testing"
}

variables {
  name        = "retinue-test"
  bucket_arns = ["arn:aws:s3:::retinue-test-images"]
  key_arn     = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "own_vpc" {
  command = apply

  assert {
    condition     = length(aws_subnet.private) == 2 && alltrue([for subnet in aws_subnet.private : !subnet.map_public_ip_on_launch])
    error_message = "subnets must be private, and in two zones"
  }

  assert {
    condition     = toset(keys(aws_vpc_endpoint.interface)) == toset(["ecr.api", "ecr.dkr", "logs", "rekognition", "secretsmanager", "sqs"])
    error_message = "workers need exactly these endpoints"
  }

  assert {
    condition     = aws_vpc_endpoint.s3[0].vpc_endpoint_type == "Gateway"
    error_message = "S3 must be reached through the gateway, which is free"
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_vpc_endpoint.s3[0].policy).Statement : !contains(flatten([statement.Resource]), "*")])
    error_message = "S3's endpoint must lead to the images and ECR's layers alone"
  }

  assert {
    condition     = length(aws_vpc_security_group_egress_rule.worker_to_anywhere) == 0
    error_message = "workers must not reach the internet"
  }

  assert {
    condition     = length(aws_default_security_group.this[0].ingress) == 0 && length(aws_default_security_group.this[0].egress) == 0
    error_message = "the default security group must allow nothing"
  }

  assert {
    condition     = aws_flow_log.this[0].traffic_type == "ALL"
    error_message = "the flow log must tell of all traffic"
  }
}

run "named_zones" {
  command = plan

  variables {
    zone_ids            = ["euw1-az1", "euw1-az2"]
    endpoint_zone_count = 1
  }

  assert {
    condition     = join(" ", local.zones) == "eu-west-1b eu-west-1c" && local.service_zones["sqs"] == ["eu-west-1b", "eu-west-1c"]
    error_message = "zones must be those that were named, whatever this account calls them"
  }
}

run "a_service_that_is_not_in_each_zone" {
  command = apply

  override_data {
    target = data.aws_vpc_endpoint_service.interface["rekognition"]
    values = { service_name = "com.amazonaws.eu-west-1.rekognition", availability_zones = ["eu-west-1b", "eu-west-1c"] }
  }

  assert {
    condition     = aws_vpc_endpoint.interface["rekognition"].subnet_ids == toset([aws_subnet.private["eu-west-1b"].id])
    error_message = "an endpoint must be in the zones that have its service"
  }

  assert {
    condition     = length(aws_vpc_endpoint.interface["sqs"].subnet_ids) == 2
    error_message = "other endpoints must be in both zones"
  }
}

run "refuses_a_service_that_is_in_no_zone" {
  command = plan

  override_data {
    target = data.aws_vpc_endpoint_service.interface["rekognition"]
    values = { service_name = "com.amazonaws.eu-west-1.rekognition", availability_zones = ["eu-west-1c"] }
  }

  expect_failures = [aws_vpc_endpoint.interface["rekognition"]]
}

run "a_region_without_rekognition" {
  command = plan

  variables {
    rekognition = false
  }

  assert {
    condition     = toset(keys(data.aws_vpc_endpoint_service.interface)) == toset(["ecr.api", "ecr.dkr", "logs", "secretsmanager", "sqs"])
    error_message = "a service that nobody calls must not be looked for"
  }
}

run "one_zone_for_endpoints" {
  command = apply

  variables {
    endpoint_zone_count = 1
    container_instances = true
    event_buses         = true
  }

  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : length(endpoint.subnet_ids) == 1])
    error_message = "endpoints must be in one zone"
  }

  assert {
    condition     = contains(keys(aws_vpc_endpoint.interface), "ecs-agent")
    error_message = "container instances need the agent's endpoints"
  }

  assert {
    condition     = contains(keys(aws_vpc_endpoint.interface), "events")
    error_message = "who publishes to EventBridge needs its endpoint"
  }
}

run "existing_vpc" {
  command = plan

  variables {
    existing = { vpc_id = "vpc-0fedcba9876543210", subnet_ids = ["subnet-1", "subnet-2"] }
  }

  assert {
    condition     = length(aws_vpc.this) == 0 && length(aws_vpc_endpoint.interface) == 0 && length(aws_subnet.private) == 0
    error_message = "nothing must be made in somebody else's VPC but the workers' security group"
  }

  assert {
    condition     = output.vpc_id == "vpc-0fedcba9876543210" && output.subnet_ids == tolist(["subnet-1", "subnet-2"])
    error_message = "the VPC that was given must be used"
  }
}

run "refuses_one_subnet" {
  command = plan

  variables {
    existing = { vpc_id = "vpc-0fedcba9876543210", subnet_ids = ["subnet-1", "subnet-1"] }
  }

  expect_failures = [var.existing]
}

run "refuses_what_is_no_vpc" {
  command = plan

  variables {
    existing = { vpc_id = "my-vpc", subnet_ids = ["subnet-1", "subnet-2"] }
  }

  expect_failures = [var.existing]
}

run "refuses_bad_numbers" {
  command = plan

  variables {
    cidr                = "10.0.0.0/28"
    zone_count          = 1
    endpoint_zone_count = 0
    bucket_arns         = []
    log_retention_days  = 31
  }

  expect_failures = [var.cidr, var.zone_count, var.endpoint_zone_count, var.bucket_arns, var.log_retention_days]
}

run "nat" {
  command = plan

  variables {
    egress              = "nat"
    endpoint_zone_count = 1
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.private) == 2 && length(aws_vpc_endpoint.interface) == 0
    error_message = "with one NAT gateway, both zones must use it"
  }

  assert {
    condition     = length(aws_route.public) == 0 && !output.assign_public_ip
    error_message = "tasks must stay in private subnets"
  }
}

run "public" {
  command = plan

  variables {
    egress = "public"
  }

  assert {
    condition     = output.assign_public_ip && length(aws_route.public) == 2 && length(aws_nat_gateway.this) == 0
    error_message = "tasks need a public address and a route"
  }
}
