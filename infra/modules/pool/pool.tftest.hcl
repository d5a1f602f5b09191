mock_provider "aws" {
  source = "../../testing"

  override_resource {
    target = aws_sqs_queue.dead
    values = {
      arn = "arn:aws:sqs:eu-west-1:123456789012:retinue-test-labels-dead"
      id  = "https://sqs.eu-west-1.amazonaws.com/123456789012/retinue-test-labels-dead"
      url = "https://sqs.eu-west-1.amazonaws.com/123456789012/retinue-test-labels-dead"
    }
  }

  override_resource {
    target = aws_sqs_queue.this
    values = {
      arn = "arn:aws:sqs:eu-west-1:123456789012:retinue-test-labels"
      id  = "https://sqs.eu-west-1.amazonaws.com/123456789012/retinue-test-labels"
      url = "https://sqs.eu-west-1.amazonaws.com/123456789012/retinue-test-labels"
    }
  }
}

variables {
  pool_name       = "labels"
  events          = { topic_arns = { own = "arn:aws:sns:eu-west-1:123456789012:retinue-test-images" } }
  images          = { bucket_arns = ["arn:aws:s3:::retinue-test-images"] }
  alarm_topic_arn = "arn:aws:sns:eu-west-1:123456789012:retinue-test-alarms"
  database = {
    url       = "postgresql://host:5432/retinue?sslmode=verify-full"
    login_arn = "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-ABCDEFGHIJ/retinue_worker"
  }

  task = {
    name_prefix = "retinue-test"
    image       = "retinue:1.0.0"
    cluster     = { arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/retinue-test", name = "retinue-test" }
    network     = { subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
    key_arn     = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  }

  # A pool as the root's `pools` gives it, with the defaults filled in. Tests change what they are about.
  config = {
    detectors           = { rekognition-labels = { min_confidence = 0.5 } }
    prices              = {}
    price_tiers         = {}
    monthly_budgets_usd = {}
    key_prefixes        = []
    key_suffixes        = []
    routes              = {}
    isolation           = {}
    hosted_models       = {}
    event_bus_arn       = null

    cpu                = 1024
    memory             = 2048
    gpu                = false
    gpu_instance_types = ["g4dn.xlarge"]
    spot_share         = 0

    min                        = 0
    max                        = 4
    images_per_minute_per_task = 60
    latency_target_seconds     = 300
    idle_minutes               = 15

    max_in_flight              = 40
    max_receive_count          = 5
    visibility_timeout_seconds = 120
    heartbeat_seconds          = 30
    detector_timeout_seconds   = 60
    shutdown_grace_seconds     = 45
    stop_timeout_seconds       = 90
    settings                   = {}

    alarm_age_seconds    = 1800
    alarm_failed_percent = 10
    slo                  = null
  }
}

run "queue" {
  command = apply

  assert {
    condition     = jsondecode(aws_sns_topic_subscription.this["own"].redrive_policy).deadLetterTargetArn == aws_sqs_queue.dead.arn
    error_message = "SNS must leave what it cannot deliver"
  }

  assert {
    condition     = aws_ecs_service.this.force_new_deployment
    error_message = "a change of spot_share must not replace the service"
  }

  assert {
    condition     = jsondecode(aws_sqs_queue.this.redrive_policy) == { deadLetterTargetArn = aws_sqs_queue.dead.arn, maxReceiveCount = 5 }
    error_message = "messages received too often must go to the dead-letter queue"
  }

  assert {
    condition     = jsondecode(aws_sqs_queue_redrive_allow_policy.dead.redrive_allow_policy).sourceQueueArns[0] == aws_sqs_queue.this.arn
    error_message = "the dead-letter queue must take messages of this queue alone"
  }

  assert {
    condition     = aws_sqs_queue.this.kms_master_key_id == var.task.key_arn && aws_sqs_queue.dead.kms_master_key_id == var.task.key_arn
    error_message = "messages must be encrypted with our key"
  }

  assert {
    condition     = aws_sns_topic_subscription.this["own"].raw_message_delivery && aws_sns_topic_subscription.this["own"].protocol == "sqs" && aws_sns_topic_subscription.this["own"].filter_policy == null
    error_message = "the queue must get the topic's messages raw, and all of them"
  }

  assert {
    condition = alltrue([for statement in jsondecode(aws_sqs_queue_policy.this.policy).Statement :
      statement.Effect == "Deny" || try(statement.Condition.ArnEquals["aws:SourceArn"] == [var.events.topic_arns.own], false)
    ])
    error_message = "only the topic may send"
  }

  assert {
    condition = alltrue([for policy in [aws_sqs_queue_policy.this.policy, aws_sqs_queue_policy.dead.policy] : anytrue([
      for statement in jsondecode(policy).Statement :
      statement.Effect == "Deny" && statement.Principal == "*" && try(statement.Condition.Bool["aws:SecureTransport"], "") == "false"
    ])])
    error_message = "nothing may come or go without TLS"
  }
}

run "permissions" {
  command = apply

  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.task.policy).Statement : statement.Sid => statement.Resource[0] } == {
      Consume                  = aws_sqs_queue.this.arn
      ReadImages               = "arn:aws:s3:::retinue-test-images/*"
      TellMissingFromForbidden = "arn:aws:s3:::retinue-test-images"
      SignInToTheDatabase      = var.database.login_arn
      ProtectItsTask           = "arn:aws:ecs:eu-west-1:123456789012:task/retinue-test/*"
      DecryptImagesAndMessages = var.task.key_arn
      AskRekognition           = "*"
    }
    error_message = "a worker may touch its queue, its bucket, its login, its key and tasks of its cluster"
  }
}

run "scaling" {
  command = apply

  assert {
    condition     = aws_appautoscaling_target.this.min_capacity == 0 && aws_appautoscaling_target.this.max_capacity == 4
    error_message = "the pool must go from none to four tasks"
  }

  assert {
    condition     = aws_appautoscaling_policy.backlog.target_tracking_scaling_policy_configuration[0].target_value == 300
    error_message = "60 images a minute and task, in 300 s, are 300 messages a task"
  }

  assert {
    condition = anytrue([for metric in aws_appautoscaling_policy.backlog.target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metrics :
      try(strcontains(metric.expression, "visible + in_flight") && strcontains(metric.expression, "running"), false)
    ])
    error_message = "the backlog per task must count messages in flight"
  }

  assert {
    condition     = aws_appautoscaling_policy.wake[0].step_scaling_policy_configuration[0].adjustment_type == "ChangeInCapacity" && aws_cloudwatch_metric_alarm.wake[0].alarm_actions == toset([aws_appautoscaling_policy.wake[0].arn])
    error_message = "a message must wake the pool"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.wake[0].evaluation_periods == 2 && anytrue([for query in aws_cloudwatch_metric_alarm.wake[0].metric_query : strcontains(coalesce(query.expression, "-"), "in_flight > 0, 0, visible")])
    error_message = "a number of tasks that is reported late must not start another"
  }

  assert {
    condition     = one(aws_appautoscaling_policy.sleep[0].step_scaling_policy_configuration[0].step_adjustment[*].scaling_adjustment) == 0 && anytrue([for query in aws_cloudwatch_metric_alarm.sleep[0].metric_query : query.expression == "visible + in_flight"])
    error_message = "the pool must go back to zero when nothing is visible or in flight"
  }

  assert {
    condition     = aws_ecs_service.this.desired_count == 0 && aws_ecs_service.this.deployment_circuit_breaker[0].rollback && !aws_ecs_service.this.enable_execute_command
    error_message = "the service must begin asleep, take back what does not start, and let nobody in"
  }
}

run "alarms" {
  command = apply

  assert {
    condition     = aws_cloudwatch_log_metric_filter.this["throttled_calls"].metric_transformation[0].value == "$.retries_total"
    error_message = "throttled calls must be added up, not the lines that tell of them"
  }

  assert {
    condition     = alltrue([for query in aws_cloudwatch_metric_alarm.failure_rate.metric_query : one(query.metric[*].period) == 3600 if query.id != "failed_percent"])
    error_message = "in a shorter time, a small pool has too few runs to judge by"
  }

  assert {
    condition = alltrue([for id in ["runs", "throttled_calls"] : anytrue([
      for query in aws_cloudwatch_metric_alarm.throttling.metric_query : query.id == id && one(query.metric[*].namespace) == "Retinue/retinue-test-labels" && one(query.metric[*].metric_name) == id
    ])])
    error_message = "the alarm must compare throttled calls with runs, both of this pool"
  }

  assert {
    condition = alltrue([for alarm in [
      aws_cloudwatch_metric_alarm.queue_age, aws_cloudwatch_metric_alarm.dead_letters, aws_cloudwatch_metric_alarm.failure_rate,
      aws_cloudwatch_metric_alarm.throttling, aws_cloudwatch_metric_alarm.paused["receiving"],
    ] : one(alarm.alarm_actions) == var.alarm_topic_arn])
    error_message = "people must be told"
  }
}

run "never_asleep_on_spot_with_patterns" {
  command = apply

  variables {
    config = merge(var.config, {
      detectors    = { onnx-objects = { threshold = 0.4, labels = "[\"dog\", \"cat\"]", model = "nanodet", fast = true } }
      key_prefixes = ["cameras/", "uploads/"]
      min          = 1
      spot_share   = 0.8
      settings     = { prefetch_threads = "4" }
    })
  }

  assert {
    condition     = length(aws_appautoscaling_policy.wake) == 0 && length(aws_cloudwatch_metric_alarm.sleep) == 0
    error_message = "a pool that is never asleep needs no waking"
  }

  assert {
    condition = { for strategy in aws_ecs_service.this.capacity_provider_strategy : strategy.capacity_provider => strategy.weight } == {
      FARGATE      = 20
      FARGATE_SPOT = 80
    }
    error_message = "four in five tasks must be on spot capacity"
  }

  assert {
    condition     = aws_sns_topic_subscription.this["own"].filter_policy_scope == "MessageBody" && jsondecode(aws_sns_topic_subscription.this["own"].filter_policy) == { Records = { s3 = { object = { key = [{ prefix = "cameras/" }, { prefix = "uploads/" }] } } } }
    error_message = "the topic must send only what has these prefixes"
  }

  assert {
    condition     = jsondecode(local.environment.RETINUE_DETECTORS) == { onnx-objects = { threshold = 0.4, labels = ["dog", "cat"], model = "nanodet", fast = true } }
    error_message = "options must keep their types"
  }

  assert {
    condition     = local.environment.RETINUE_PREFETCH_THREADS == "4"
    error_message = "further settings must be passed on"
  }

  assert {
    condition     = !anytrue([for statement in jsondecode(aws_iam_role_policy.task.policy).Statement : contains(statement.Resource, "*")])
    error_message = "without Rekognition nothing is allowed everywhere"
  }
}

run "existing_buckets" {
  command = apply

  variables {
    events = {
      topic_arns = { own = "arn:aws:sns:eu-west-1:123456789012:retinue-test-images", theirs = "arn:aws:sns:eu-west-1:210987654321:images" }
      buckets    = { uploads = { name = "uploads", account_id = "123456789012" } }
    }
    images = {
      bucket_arns = ["arn:aws:s3:::retinue-test-images", "arn:aws:s3:::uploads"]
      key_arns    = ["arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000002"]
    }
    config = merge(var.config, { key_prefixes = ["in/"] })
  }

  assert {
    condition = length(aws_sns_topic_subscription.this) == 2 && jsondecode(aws_cloudwatch_event_rule.images[0].event_pattern).detail == {
      bucket = { name = ["uploads"] }, object = { key = [{ prefix = "in/" }] }
    }
    error_message = "the pool must hear of its images in all buckets, by topic or by EventBridge"
  }

  assert {
    condition = anytrue([for statement in jsondecode(aws_sqs_queue_policy.this.policy).Statement :
      statement.Sid == "EventBridgeDelivers" && try(statement.Condition.ArnEquals["aws:SourceArn"] == aws_cloudwatch_event_rule.images[0].arn, false)
    ])
    error_message = "only the pool's rule may send through EventBridge"
  }

  assert {
    condition = {
      for alarm in values(aws_cloudwatch_metric_alarm.rule) : alarm.metric_name => alarm.dimensions.RuleName
      } == {
      FailedInvocations              = aws_cloudwatch_event_rule.images[0].name
      InvocationsFailedToBeSentToDlq = aws_cloudwatch_event_rule.images[0].name
    }
    error_message = "events that EventBridge can't deliver, or leave in the dead-letter queue, must be noticed"
  }

  assert {
    condition     = contains(flatten([for statement in jsondecode(aws_iam_role_policy.task.policy).Statement : statement.Resource if statement.Action == ["kms:Decrypt"]]), var.images.key_arns[0])
    error_message = "workers must be able to decrypt images of every bucket"
  }
}

run "objectives" {
  command = apply

  variables {
    config = merge(var.config, { slo = { percent = 99, seconds = 600 } })
  }

  assert {
    condition = { for name, alarm in aws_cloudwatch_metric_alarm.budget : name => alarm.threshold } == {
      late-hour   = 14.4, late-five-minutes = 14.4, late-six-hours = 6, late-thirty-minutes = 6,
      failed-hour = 14.4, failed-five-minutes = 14.4, failed-six-hours = 6, failed-thirty-minutes = 6,
    }
    error_message = "each objective must have its windows"
  }

  assert {
    condition     = aws_cloudwatch_composite_alarm.slo["late"].alarm_rule == "(ALARM(\"retinue-test-labels-budget-late-hour\") AND ALARM(\"retinue-test-labels-budget-late-five-minutes\")) OR (ALARM(\"retinue-test-labels-budget-late-six-hours\") AND ALARM(\"retinue-test-labels-budget-late-thirty-minutes\"))"
    error_message = "a long window must confirm a short one"
  }
}

run "collection" {
  command = apply

  variables {
    config = merge(var.config, { detectors = { rekognition-face-search = { collection_id = "staff" } } })
  }

  assert {
    condition = anytrue([for statement in jsondecode(aws_iam_role_policy.task.policy).Statement :
      contains(statement.Action, "rekognition:SearchFacesByImage") && statement.Resource[0] == "arn:aws:rekognition:eu-west-1:123456789012:collection/staff"
    ])
    error_message = "faces may be searched in this collection alone"
  }
}

run "videos" {
  command = apply

  variables {
    config = merge(var.config, {
      detectors = {
        rekognition-face-search       = { collection_id = "staff" }
        rekognition-video-face-search = { collection_id = "guests" }
        rekognition-video-labels      = { min_confidence = 0.5 }
      }
      key_suffixes = [".mp4", ".mov"]
      min          = 1
    })
  }

  override_resource {
    target = aws_sns_topic.jobs
    values = { arn = "arn:aws:sns:eu-west-1:123456789012:retinue-test-labels-jobs" }
  }

  override_resource {
    target = aws_iam_role.jobs
    values = { arn = "arn:aws:iam::123456789012:role/retinue-test-labels-jobs" }
  }

  assert {
    condition = jsondecode(local.environment.RETINUE_DETECTORS) == {
      rekognition-face-search = { collection_id = "staff" }
      rekognition-video-face-search = {
        collection_id          = "guests"
        notification_role_arn  = aws_iam_role.jobs[0].arn
        notification_topic_arn = aws_sns_topic.jobs[0].arn
      }
      rekognition-video-labels = {
        min_confidence         = 0.5
        notification_role_arn  = aws_iam_role.jobs[0].arn
        notification_topic_arn = aws_sns_topic.jobs[0].arn
      }
    }
    error_message = "each detector of videos must name the topic and the role"
  }

  assert {
    condition     = aws_sns_topic_subscription.jobs[0].raw_message_delivery && aws_sns_topic_subscription.jobs[0].endpoint == aws_sqs_queue.this.arn && aws_sns_topic.jobs[0].kms_master_key_id == var.task.key_arn
    error_message = "the queue must get messages about jobs raw, and the topic be encrypted with our key"
  }

  assert {
    condition     = jsondecode(aws_sqs_queue_policy.this.policy).Statement[0].Condition.ArnEquals["aws:SourceArn"] == [var.events.topic_arns.own, aws_sns_topic.jobs[0].arn]
    error_message = "both topics, and no others, may send"
  }

  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.task.policy).Statement : statement if contains(statement.Action, "iam:PassRole")] == [{
      Sid       = "LetRekognitionAnnounceJobs"
      Effect    = "Allow"
      Action    = ["iam:PassRole"]
      Resource  = [aws_iam_role.jobs[0].arn]
      Condition = { StringEquals = { "iam:PassedToService" = "rekognition.amazonaws.com" } }
    }]
    error_message = "a worker may pass one role, to Rekognition alone"
  }

  assert {
    condition = jsondecode(aws_iam_role.jobs[0].assume_role_policy).Statement == [{
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = "123456789012" } }
      Effect    = "Allow"
      Principal = { Service = "rekognition.amazonaws.com" }
    }]
    error_message = "only Rekognition, for this account, may assume the role"
  }

  assert {
    condition     = { for statement in jsondecode(aws_iam_role_policy.jobs[0].policy).Statement : statement.Sid => statement.Resource } == { Publish = [aws_sns_topic.jobs[0].arn], EncryptMessages = [var.task.key_arn] }
    error_message = "the role may publish to the topic of jobs, and nothing else"
  }

  assert {
    condition = anytrue([for statement in jsondecode(aws_iam_role_policy.task.policy).Statement :
      contains(statement.Action, "rekognition:StartFaceSearch") && statement.Resource[0] == "arn:aws:rekognition:eu-west-1:123456789012:collection/guests"
    ])
    error_message = "faces of videos may be searched in this collection alone"
  }

  assert {
    condition     = length(distinct(jsondecode(aws_iam_role_policy.task.policy).Statement[*].Sid)) == length(jsondecode(aws_iam_role_policy.task.policy).Statement)
    error_message = "each statement needs its own Sid"
  }
}

run "a_hosted_model_that_sleeps_is_no_alarm" {
  command = apply

  variables {
    config = merge(var.config, {
      detectors     = { rekognition-custom-labels = { project_version_arn = "arn:aws:rekognition:eu-west-1:123456789012:project/birds/version/v1/1700000000000" } }
      hosted_models = { rekognition-custom-labels = {} }
    })
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.paused["receiving"].threshold == 1 && length(aws_cloudwatch_metric_alarm.paused) == 1
    error_message = "the model's rest is one cause, and people are told of others"
  }
}

run "alarms_of_videos" {
  command = apply

  variables {
    config = merge(var.config, { detectors = { rekognition-video-labels = {} }, min = 1 })
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.job_overdue[0].metric_name == "overdue_looks" && aws_cloudwatch_metric_alarm.job_overdue[0].threshold == 0
    error_message = "one look at a job that is a day old must raise an alarm"
  }

  assert {
    condition = alltrue([for id in ["jobs", "silent_jobs"] : anytrue([
      for query in aws_cloudwatch_metric_alarm.job_messages[0].metric_query : query.id == id && one(query.metric[*].namespace) == "Retinue/retinue-test-labels" && one(query.metric[*].metric_name) == id
    ])])
    error_message = "the alarm must compare jobs without a message with all jobs of this pool"
  }

  assert {
    condition     = alltrue([for alarm in [aws_cloudwatch_metric_alarm.job_overdue[0], aws_cloudwatch_metric_alarm.job_messages[0], aws_cloudwatch_metric_alarm.paused["jobs"]] : one(alarm.alarm_actions) == var.alarm_topic_arn])
    error_message = "people must be told"
  }
}

run "nothing_of_jobs_without_videos" {
  command = plan

  assert {
    condition = length(concat(
      aws_sns_topic.jobs, aws_iam_role.jobs, aws_sns_topic_subscription.jobs, aws_cloudwatch_metric_alarm.job_overdue,
      aws_cloudwatch_metric_alarm.job_messages,
    )) == 0 && !contains(keys(merge(aws_cloudwatch_log_metric_filter.this, aws_cloudwatch_metric_alarm.paused)), "jobs")
    error_message = "a pool without videos needs no topic, role, filter or alarm for jobs"
  }
}

run "gpu" {
  command = apply

  variables {
    gpu_capacity_provider = "retinue-test-labels"
    config = merge(var.config, {
      detectors            = { onnx-objects = {} }
      gpu                  = true
      cpu                  = 3584
      memory               = 14000
      stop_timeout_seconds = 300
    })
  }

  assert {
    condition     = aws_ecs_service.this.deployment_minimum_healthy_percent == 0 && aws_ecs_service.this.deployment_maximum_percent == 100
    error_message = "a pool at its maximum has no instance for a new task until an old one ends"
  }

  assert {
    condition     = one(aws_ecs_service.this.capacity_provider_strategy[*].capacity_provider) == "retinue-test-labels"
    error_message = "the pool must run on its own instances"
  }
}

run "canary" {
  command = apply

  variables {
    canary_minutes = 15
  }

  assert {
    condition = alltrue([
      aws_cloudwatch_metric_alarm.canary[0].period * aws_cloudwatch_metric_alarm.canary[0].evaluation_periods == 2700,
      aws_cloudwatch_metric_alarm.canary[0].treat_missing_data == "breaching",
      strcontains(aws_cloudwatch_log_metric_filter.canary[0].pattern, "*/canary/image.png*"),
    ])
    error_message = "three canaries that become no rows must be an alarm, even if nothing is logged"
  }
}

run "canary_for_others" {
  command = plan

  variables {
    canary_minutes = 15
    config         = merge(var.config, { key_prefixes = ["uploads/"] })
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.canary) == 0
    error_message = "a pool that does not take the canary must not miss it"
  }
}

run "a_prefix_of_other_letters" {
  command = plan

  variables {
    config = merge(var.config, { key_prefixes = ["Caméra 1/été_2.a-b/"] })
  }

  assert {
    condition     = jsondecode(aws_sns_topic_subscription.this["own"].filter_policy).Records.s3.object.key == [{ prefix = "Cam%C3%A9ra+1/%C3%A9t%C3%A9_2.a-b/" }]
    error_message = "the topic must look for the key as S3 encodes it"
  }
}

# Every check of a pool, and input that it refuses.

run "refuses_no_detectors" {
  command = plan

  variables {
    config = merge(var.config, { detectors = {} })
  }

  expect_failures = [var.config]
}

run "refuses_a_bad_detector_name" {
  command = plan

  variables {
    config = merge(var.config, { detectors = { "Labels!" = {} } })
  }

  expect_failures = [var.config]
}

run "refuses_more_pixels_than_its_memory_decodes" {
  command = plan

  variables {
    config = merge(var.config, { settings = { max_image_px = "89478485" } })
  }

  expect_failures = [var.config]
}

run "refuses_more_memory_for_decoding_than_half" {
  command = plan

  variables {
    config = merge(var.config, { settings = { max_decoding_bytes = "600000000" }, isolation = { rekognition-labels = {} } })
  }

  expect_failures = [var.config]
}

run "refuses_more_bytes_of_files_than_a_quarter" {
  command = plan

  variables {
    config = merge(var.config, { settings = { max_image_bytes = "67108865" } })
  }

  expect_failures = [var.config]
}

run "refuses_a_face_search_without_collection" {
  command = plan

  variables {
    config = merge(var.config, { detectors = { rekognition-face-search = {} } })
  }

  expect_failures = [var.config]
}

run "refuses_a_face_search_of_videos_without_collection" {
  command = plan

  variables {
    config = merge(var.config, { detectors = { rekognition-video-face-search = {} }, min = 1 })
  }

  expect_failures = [var.config]
}

run "refuses_another_topic_of_jobs" {
  command = plan

  variables {
    config = merge(var.config, {
      detectors = { rekognition-video-labels = { notification_topic_arn = "arn:aws:sns:eu-west-1:123456789012:jobs" } }
      min       = 1
    })
  }

  expect_failures = [var.config]
}

run "refuses_videos_without_a_task" {
  command = plan

  variables {
    config = merge(var.config, { detectors = { rekognition-video-labels = {} } })
  }

  expect_failures = [var.config]
}

run "refuses_custom_labels_without_a_model" {
  command = plan

  variables {
    config = merge(var.config, { detectors = { rekognition-custom-labels = {} } })
  }

  expect_failures = [var.config]
}

run "refuses_custom_labels_with_any_model" {
  command = plan

  variables {
    config = merge(var.config, { detectors = { rekognition-custom-labels = { project_version_arn = "arn:aws:rekognition:eu-west-1:123456789012:project/birds/version/*" } } })
  }

  expect_failures = [var.config]
}

run "refuses_a_model_that_stands_for_any_object" {
  command = plan

  variables {
    config = merge(var.config, { detectors = { onnx-objects = { model = "s3://models/*" } } })
  }

  expect_failures = [var.config]
}

run "refuses_two_prices" {
  command = plan

  variables {
    config = merge(var.config, { prices = { rekognition-labels = 1 }, price_tiers = { rekognition-labels = [{ usd = 2 }] } })
  }

  expect_failures = [var.config]
}

run "refuses_a_setting_that_is_no_number" {
  command = plan

  variables {
    config = merge(var.config, { settings = { max_image_px = "many", prefetch_images = "some" } })
  }

  expect_failures = [var.config]
}

run "refuses_half_a_receive" {
  command = plan

  variables {
    config = merge(var.config, { max_receive_count = 2.5 })
  }

  expect_failures = [var.config]
}

run "refuses_half_a_second_of_visibility" {
  command = plan

  variables {
    config = merge(var.config, { visibility_timeout_seconds = 120.5 })
  }

  expect_failures = [var.config]
}

run "refuses_half_a_second_until_ecs_kills" {
  command = plan

  variables {
    config = merge(var.config, { stop_timeout_seconds = 90.5 })
  }

  expect_failures = [var.config]
}

run "refuses_a_price_for_nothing" {
  command = plan

  variables {
    config = merge(var.config, { prices = { onnx-objects = 1 } })
  }

  expect_failures = [var.config]
}

run "refuses_prefixes_and_suffixes" {
  command = plan

  variables {
    config = merge(var.config, { key_prefixes = ["a/"], key_suffixes = [".jpg"] })
  }

  expect_failures = [var.config]
}

run "refuses_more_patterns_than_sns_takes" {
  command = plan

  variables {
    config = merge(var.config, { key_prefixes = [for number in range(38) : "camera-${number}/"] })
  }

  expect_failures = [var.config]
}

run "refuses_an_encoded_pattern" {
  command = plan

  variables {
    config = merge(var.config, { key_prefixes = ["a+b/"] })
  }

  expect_failures = [var.config]
}

run "refuses_a_size_that_fargate_has_not" {
  command = plan

  variables {
    config = merge(var.config, { cpu = 1024, memory = 16384 })
  }

  expect_failures = [var.config]
}

run "refuses_an_instance_without_gpu" {
  command = plan

  variables {
    config = merge(var.config, { gpu_instance_types = ["t3.micro"] })
  }

  expect_failures = [var.config]
}

run "refuses_a_spot_share_above_one" {
  command = plan

  variables {
    config = merge(var.config, { spot_share = 80 })
  }

  expect_failures = [var.config]
}

run "refuses_min_above_max" {
  command = plan

  variables {
    config = merge(var.config, { min = 5, max = 4 })
  }

  expect_failures = [var.config]
}

run "refuses_no_throughput" {
  command = plan

  variables {
    config = merge(var.config, { images_per_minute_per_task = 0 })
  }

  expect_failures = [var.config]
}

run "refuses_one_receive" {
  command = plan

  variables {
    config = merge(var.config, { max_receive_count = 1 })
  }

  expect_failures = [var.config]
}

run "refuses_a_slow_heartbeat" {
  command = plan

  variables {
    config = merge(var.config, { heartbeat_seconds = 61, detector_timeout_seconds = 10 })
  }

  expect_failures = [var.config]
}

run "refuses_a_detector_slower_than_the_visibility_timeout" {
  command = plan

  variables {
    config = merge(var.config, { detector_timeout_seconds = 100 })
  }

  expect_failures = [var.config]
}

run "refuses_a_grace_as_long_as_the_stop_timeout" {
  command = plan

  variables {
    config = merge(var.config, { shutdown_grace_seconds = 80 })
  }

  expect_failures = [var.config]
}

run "refuses_a_stop_timeout_above_fargates" {
  command = plan

  variables {
    config = merge(var.config, { stop_timeout_seconds = 121 })
  }

  expect_failures = [var.config]
}

run "refuses_an_unknown_setting" {
  command = plan

  variables {
    config = merge(var.config, { settings = { queue_url = "x" } })
  }

  expect_failures = [var.config]
}

run "refuses_a_log_without_the_lines_that_alarms_count" {
  command = plan

  variables {
    config = merge(var.config, { settings = { log_level = "warning" } })
  }

  expect_failures = [var.config]
}

run "refuses_a_failure_rate_of_nothing" {
  command = plan

  variables {
    config = merge(var.config, { alarm_failed_percent = 0 })
  }

  expect_failures = [var.config]
}

run "refuses_a_gpu_without_instances" {
  command = plan

  variables {
    config = merge(var.config, { detectors = { onnx-objects = {} }, gpu = true })
  }

  expect_failures = [var.gpu_capacity_provider]
}

run "refuses_a_bad_name_and_a_connection_in_the_clear" {
  command = plan

  variables {
    pool_name = "migrations"
    database  = { url = "postgresql://host:5432/retinue?sslmode=require", login_arn = "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-ABCDEFGHIJ/retinue_worker" }
  }

  expect_failures = [var.pool_name, var.database]
}

run "refuses_the_name_of_the_console" {
  command = plan

  variables {
    pool_name = "console"
  }

  expect_failures = [var.pool_name]
}

run "refuses_the_name_of_the_alarms_of_events" {
  command = plan

  variables {
    pool_name = "events"
  }

  expect_failures = [var.pool_name]
}
