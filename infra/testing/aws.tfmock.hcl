# What the tests' imaginary account answers. Terraform's own inventions are random text, which is no
# ARN and no JSON, and the provider checks both.

mock_data "aws_caller_identity" {
  defaults = { account_id = "123456789012" }
}

mock_data "aws_partition" {
  defaults = { partition = "aws" }
}

mock_data "aws_region" {
  defaults = { id = "eu-west-1" }
}

mock_data "aws_availability_zones" {
  defaults = { names = ["eu-west-1a", "eu-west-1b", "eu-west-1c"], zone_ids = ["euw1-az3", "euw1-az1", "euw1-az2"] }
}

mock_data "aws_vpc_endpoint_service" {
  defaults = { availability_zones = ["eu-west-1a", "eu-west-1b", "eu-west-1c"] }
}

mock_data "aws_ecr_repository" {
  defaults = {
    arn            = "arn:aws:ecr:eu-west-1:123456789012:repository/retinue"
    repository_url = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/retinue"
  }
}

mock_data "aws_ecr_image" {
  defaults = { image_digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }
}

mock_resource "aws_kms_key" {
  defaults = { arn = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000" }
}

mock_resource "aws_vpc" {
  defaults = { id = "vpc-0123456789abcdef0" }
}

mock_resource "aws_s3_bucket" {
  defaults = { arn = "arn:aws:s3:::retinue-test-images" }
}

mock_resource "aws_sns_topic" {
  defaults = { arn = "arn:aws:sns:eu-west-1:123456789012:retinue-test" }
}

mock_resource "aws_sqs_queue" {
  defaults = {
    arn = "arn:aws:sqs:eu-west-1:123456789012:retinue-test"
    id  = "https://sqs.eu-west-1.amazonaws.com/123456789012/retinue-test"
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/retinue-test"
  }
}

mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::123456789012:role/retinue-test" }
}

mock_resource "aws_iam_policy" {
  defaults = { arn = "arn:aws:iam::123456789012:policy/retinue-test" }
}

mock_resource "aws_iam_instance_profile" {
  defaults = { arn = "arn:aws:iam::123456789012:instance-profile/retinue-test" }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/retinue-test" }
}

mock_resource "aws_ecs_cluster" {
  defaults = { arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/retinue-test" }
}

mock_resource "aws_ecs_task_definition" {
  defaults = { arn = "arn:aws:ecs:eu-west-1:123456789012:task-definition/retinue-test:1" }
}

mock_resource "aws_ecr_repository" {
  defaults = { arn = "arn:aws:ecr:eu-west-1:123456789012:repository/retinue" }
}

mock_resource "aws_appautoscaling_policy" {
  defaults = { arn = "arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:0:resource/ecs/x:policyName/y" }
}

mock_resource "aws_autoscaling_group" {
  defaults = { arn = "arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:0:autoScalingGroupName/x" }
}

mock_resource "aws_launch_template" {
  defaults = {
    id             = "lt-0123456789abcdef0"
    latest_version = 1
  }
}

mock_resource "aws_db_instance" {
  defaults = {
    address     = "retinue-test.abcdefghijkl.eu-west-1.rds.amazonaws.com"
    resource_id = "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    master_user_secret = [{
      secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-00000000-abcdef"
    }]
  }
}

mock_resource "aws_lb" {
  defaults = {
    arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/retinue-test-console/0123456789abcdef"
    arn_suffix = "app/retinue-test-console/0123456789abcdef"
  }
}

mock_resource "aws_lb_target_group" {
  defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/cons-0/0123456789abcdef" }
}

mock_resource "aws_security_group" {
  defaults = { id = "sg-0123456789abcdef0" }
}

mock_data "aws_ecs_cluster" {
  defaults = {
    arn     = "arn:aws:ecs:eu-west-1:123456789012:cluster/shared"
    status  = "ACTIVE"
    setting = [{ name = "containerInsights", value = "enabled" }]
  }
}

mock_data "aws_db_instance" {
  defaults = {
    address             = "shared.abcdefghijkl.eu-west-1.rds.amazonaws.com"
    port                = 5432
    resource_id         = "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    engine              = "postgres"
    engine_version      = "17.5"
    vpc_security_groups = ["sg-0123456789abcdef0"]
    master_user_secret = [{
      kms_key_id = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000004"
      secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-00000000-abcdef"
    }]
  }
}

mock_data "aws_rds_cluster" {
  defaults = {
    endpoint                            = "shared.cluster-abcdefghijkl.eu-west-1.rds.amazonaws.com"
    port                                = 5432
    cluster_resource_id                 = "cluster-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    engine                              = "aurora-postgresql"
    engine_version                      = "17.5"
    iam_database_authentication_enabled = true
    vpc_security_group_ids              = ["sg-0123456789abcdef0"]
    master_user_secret = [{
      kms_key_id = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000004"
      secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!cluster-00000000-abcdef"
    }]
  }
}

mock_resource "aws_cloudwatch_event_rule" {
  defaults = { arn = "arn:aws:events:eu-west-1:123456789012:rule/retinue-test" }
}
