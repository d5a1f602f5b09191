mock_provider "aws" {
  source = "../../testing"
}

variables {
  name                 = "retinue-test-objects"
  cluster_name         = "retinue-test"
  network              = { subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
  instance_types       = ["g4dn.xlarge"]
  max                  = 3
  spot_share           = 0.75
  stop_timeout_seconds = 90
}

run "gpu_capacity" {
  command = apply

  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_tokens == "required" && aws_launch_template.this.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "containers must not reach the instance's credentials"
  }

  assert {
    condition     = aws_launch_template.this.block_device_mappings[0].ebs[0].encrypted == "true"
    error_message = "the disk must be encrypted"
  }

  assert {
    condition     = aws_autoscaling_group.this.min_size == 0 && aws_autoscaling_group.this.max_size == 3
    error_message = "there must be no instance when no task wants one"
  }

  assert {
    condition     = aws_autoscaling_group.this.mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == 25
    error_message = "three quarters must be spot instances"
  }

  assert {
    condition     = strcontains(base64decode(aws_launch_template.this.user_data), "ECS_CLUSTER=retinue-test\n")
    error_message = "instances must join the cluster"
  }

  assert {
    condition     = aws_ecs_capacity_provider.this.auto_scaling_group_provider[0].managed_termination_protection == "ENABLED" && aws_autoscaling_group.this.protect_from_scale_in
    error_message = "an instance with a task on it must not be stopped"
  }

  assert {
    condition     = aws_autoscaling_group.this.max_instance_lifetime == 1209600
    error_message = "an instance that is never idle must be replaced by one with AWS's newest image"
  }

  assert {
    condition     = aws_autoscaling_group.this.force_delete
    error_message = "protected instances must not hold up make destroy"
  }
}

run "refuses_bad_input" {
  command = plan

  variables {
    name           = "ecs-objects"
    instance_types = []
    max            = 0
    spot_share     = 2
    disk_gb        = 8
  }

  expect_failures = [var.name, var.instance_types, var.max, var.spot_share, var.disk_gb]
}
