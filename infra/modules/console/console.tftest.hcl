mock_provider "aws" {
  source = "../../testing"
}

variables {
  task = {
    name_prefix = "retinue-test"
    image       = "retinue:1.0.0"
    cluster     = { arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/retinue-test", name = "retinue-test" }
    network     = { subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
    key_arn     = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  }

  config = {
    public_url      = "https://retinue.example.com"
    certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
    client_cidrs    = ["10.0.0.0/8"]
    oidc = {
      issuer            = "https://id.example.com"
      client_id         = "retinue"
      client_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:console-abcdef"
      scopes            = "openid email"
    }
    login_rights = { "ann@example.com" = ["admin"] }
    group_rights = {}
    settings     = { session_minutes = "60" }
    tasks        = 2
    cpu          = 512
    memory       = 1024
  }
  vpc_id = "vpc-0123456789abcdef0"
  database = {
    security_group_id = "sg-2"
    reader = {
      url       = "postgresql://retinue_analyst@host:5432/retinue?sslmode=verify-full"
      login_arn = "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-ABCDEFGHIJ/retinue_analyst"
    }
    reviewer = {
      url       = "postgresql://retinue_console@host:5432/retinue?sslmode=verify-full"
      login_arn = "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-ABCDEFGHIJ/retinue_console"
    }
  }
  images          = { bucket_arns = ["arn:aws:s3:::retinue-test-images"] }
  alarm_topic_arn = "arn:aws:sns:eu-west-1:123456789012:retinue-test-alarms"
}

run "console" {
  command = apply

  assert {
    condition     = aws_lb.this.internal && aws_lb.this.drop_invalid_header_fields && aws_lb.this.enable_deletion_protection
    error_message = "the load balancer must have no public address"
  }

  assert {
    condition     = length(aws_lb_listener.this.default_action) == 1 && aws_lb_listener.this.default_action[0].type == "forward"
    error_message = "without alb, the console itself signs people in"
  }

  assert {
    condition     = length(data.aws_secretsmanager_secret_version.client) == 0 && local.secrets.RETINUE_CONSOLE_OIDC_CLIENT_SECRET == var.config.oidc.client_secret_arn
    error_message = "Terraform must not know the client's secret"
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.task_from_load_balancer.referenced_security_group_id == aws_security_group.load_balancer.id && aws_vpc_security_group_ingress_rule.task_from_load_balancer.cidr_ipv4 == null
    error_message = "only the load balancer may reach the tasks"
  }

  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.load_balancer_from_people) == ["10.0.0.0/8"]
    error_message = "only the networks of people may reach the load balancer"
  }

  assert {
    condition     = aws_ecs_service.this.desired_count == 2 && one(aws_ecs_service.this.network_configuration).assign_public_ip == false
    error_message = "there must be two tasks without public addresses"
  }

  assert {
    condition     = one(aws_lb_target_group.this.health_check).path == "/health"
    error_message = "the load balancer must ask where the console answers"
  }

  assert {
    condition     = alltrue([for alarm in [aws_cloudwatch_metric_alarm.down, aws_cloudwatch_metric_alarm.errors] : alarm.alarm_actions == toset([var.alarm_topic_arn])])
    error_message = "people must be told"
  }
}

run "load_balancer_signs_people_in" {
  command = apply

  variables {
    config = {
      public_url      = "https://retinue.example.com"
      certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
      client_cidrs    = ["10.0.0.0/8"]
      oidc = {
        issuer            = "https://id.example.com"
        client_id         = "retinue"
        client_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:console-abcdef"
        scopes            = "openid email"
      }
      alb = {
        authorization_endpoint = "https://id.example.com/authorize"
        token_endpoint         = "https://id.example.com/token"
        user_info_endpoint     = "https://id.example.com/userinfo"
      }
      login_rights = {}
      group_rights = { staff = ["viewer"] }
      settings     = {}
      tasks        = 1
      cpu          = 512
      memory       = 1024
    }
  }

  assert {
    condition     = [for action in aws_lb_listener.this.default_action : action.type] == ["authenticate-oidc", "forward"]
    error_message = "people must sign in before anything is forwarded"
  }

  assert {
    condition     = local.environment.RETINUE_CONSOLE_SIGN_IN == "alb" && local.environment.RETINUE_CONSOLE_LOAD_BALANCER_ARN == aws_lb.this.arn && length(local.secrets) == 0
    error_message = "the console must take this load balancer's tokens only"
  }
}

run "refuses_bad_input" {
  command = plan

  variables {
    config = {
      public_url      = "http://retinue.example.com/a"
      certificate_arn = "retinue"
      client_cidrs    = ["0.0.0.0/0"]
      oidc = {
        issuer            = "http://id.example.com"
        client_id         = "retinue"
        client_secret_arn = "a secret"
        scopes            = "openid"
      }
      login_rights = { "ann@example.com" = ["owner"] }
      group_rights = {}
      settings     = { host = "127.0.0.1" }
      tasks        = 0
      cpu          = 512
      memory       = 1024
    }
    vpc_id          = "retinue"
    images          = { bucket_arns = ["images"] }
    alarm_topic_arn = "alarms"
  }

  expect_failures = [var.config, var.vpc_id, var.images, var.alarm_topic_arn]
}

run "refuses_null" {
  command = plan

  variables {
    config = {
      public_url      = null
      certificate_arn = null
      client_cidrs    = [null]
      oidc            = { issuer = null, client_id = null, client_secret_arn = null, scopes = null }
      alb             = { authorization_endpoint = null, token_endpoint = null, user_info_endpoint = null }
      login_rights    = { "ann@example.com" = [null] }
      group_rights    = {}
      settings        = {}
      tasks           = 1
      cpu             = 512
      memory          = 1024
    }
  }

  expect_failures = [var.config]
}
