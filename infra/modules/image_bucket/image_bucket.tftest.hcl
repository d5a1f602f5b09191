mock_provider "aws" {
  source = "../../testing"
}

variables {
  name    = "retinue-test-images"
  key_arn = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "bucket" {
  command = apply

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "public access must be blocked in all four ways"
  }

  assert {
    condition     = alltrue([for rule in aws_s3_bucket_server_side_encryption_configuration.this.rule : rule.apply_server_side_encryption_by_default[0].kms_master_key_id == var.key_arn && rule.bucket_key_enabled])
    error_message = "images must be encrypted with our key"
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "an image is a version: the bucket must keep them"
  }

  assert {
    condition     = aws_s3_bucket_ownership_controls.this.rule[0].object_ownership == "BucketOwnerEnforced"
    error_message = "access lists must be off"
  }

  assert {
    condition = anytrue([for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement :
      statement.Effect == "Deny" && statement.Principal == "*" && statement.Action == "s3:*" && try(statement.Condition.Bool["aws:SecureTransport"], "") == "false"
    ])
    error_message = "nothing may come or go without TLS"
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : statement.Effect == "Deny"])
    error_message = "the bucket's policy must give nobody anything"
  }

  assert {
    condition     = aws_sns_topic.this.kms_master_key_id == var.key_arn
    error_message = "the topic must be encrypted"
  }

  assert {
    condition = jsondecode(aws_sns_topic_policy.this.policy).Statement[0] == {
      Sid       = "TheBucketPublishes"
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.this.arn
      Condition = {
        ArnEquals    = { "aws:SourceArn" = aws_s3_bucket.this.arn }
        StringEquals = { "aws:SourceAccount" = "123456789012" }
      }
    }
    error_message = "only our bucket may publish"
  }

  assert {
    condition     = aws_s3_bucket_notification.this.topic[0].events == toset(["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*"])
    error_message = "the topic must hear of images that come and go"
  }

  assert {
    condition     = !aws_s3_bucket.this.force_destroy
    error_message = "images must not be deleted with the bucket"
  }

  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.this.rule) == 2
    error_message = "images must be kept unless told otherwise"
  }
}

run "images_expire" {
  command = plan

  variables {
    expire_days = 90
  }

  assert {
    condition     = anytrue([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.id == "images" && try(rule.expiration[0].days == 90, false)])
    error_message = "images must expire after 90 days"
  }
}

run "canary_of_a_bucket_with_a_long_name" {
  command = plan

  variables {
    name           = "retinue-of-the-staging-test-images-123456789012-ap-southeast-1"
    canary_minutes = 15
  }

  assert {
    condition     = length(aws_scheduler_schedule.canary[0].name) == 64
    error_message = "EventBridge Scheduler takes names of 64 characters at most"
  }
}

run "canary" {
  command = apply

  variables {
    canary_minutes = 15
  }

  assert {
    condition = alltrue([
      aws_scheduler_schedule.canary[0].schedule_expression == "rate(15 minutes)",
      jsondecode(aws_scheduler_schedule.canary[0].target[0].input).CopySource == "${aws_s3_bucket.this.id}/${aws_s3_object.canary[0].key}",
    ])
    error_message = "the canary must be copied every 15 minutes"
  }
}

run "refuses_bad_input" {
  command = plan

  variables {
    name             = "my.bucket"
    old_version_days = 0
    expire_days      = 0
    canary_minutes   = 1
  }

  expect_failures = [var.name, var.old_version_days, var.expire_days, var.canary_minutes]
}
