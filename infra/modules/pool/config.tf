# Checks of a pool's configuration. Without them, the same mistakes would stop a worker or lose its
# work.

variable "config" {
  description = "One value of the root's `pools`, with all defaults filled in. pools.tf, beside the root's main.tf, declares its type."
  type        = any

  validation {
    condition     = length(var.config.detectors) > 0
    error_message = "The pool ${var.pool_name} has no detectors: give at least one, such as detectors = { rekognition-labels = {} }."
  }

  validation {
    condition     = alltrue([for name in keys(var.config.detectors) : can(regex("^[a-z][a-z0-9-]*$", name))])
    error_message = "The pool ${var.pool_name} has a detector whose name is none (${join(", ", keys(var.config.detectors))}): `retinue plugins` lists them."
  }

  validation {
    condition = alltrue([for name in ["rekognition-face-search", "rekognition-video-face-search"] :
      !contains(keys(var.config.detectors), name) || try(can(regex("^[a-zA-Z0-9_.-]+$", var.config.detectors[name].collection_id)), false)
    ])
    error_message = "The pool ${var.pool_name}: rekognition-face-search and rekognition-video-face-search need the option collection_id, the id of a collection."
  }

  validation {
    condition = !contains(keys(var.config.detectors), "rekognition-custom-labels") || can(regex(
      "^arn:[a-z-]+:rekognition:[a-z0-9-]+:[0-9]{12}:project/[a-zA-Z0-9_.-]+/version/[a-zA-Z0-9_.-]+/[0-9]+$",
      try(var.config.detectors["rekognition-custom-labels"].project_version_arn, ""),
    ))
    error_message = "The pool ${var.pool_name}: rekognition-custom-labels needs the option project_version_arn, the ARN of a model's version, such as arn:aws:rekognition:eu-west-1:123456789012:project/birds/version/v1/1700000000000."
  }

  # Permissions name these objects, and IAM reads * as any text.
  validation {
    condition = !anytrue(flatten([for options in values(var.config.detectors) : [
      for object in [try(options.model, ""), try(jsondecode(options.objects).model, ""), try(options.reference_image, "")] :
      try(startswith(object, "s3://") && strcontains(object, "*"), false)
    ]]))
    error_message = "The pool ${var.pool_name}: model and reference_image name one object of S3, without *."
  }

  validation {
    condition     = alltrue([for options in values(var.config.detectors) : !anytrue([for name in keys(options) : startswith(name, "notification_")])])
    error_message = "The pool ${var.pool_name}: leave out notification_topic_arn and notification_role_arn. The module creates the topic and the role, and sets both options."
  }

  validation {
    condition     = var.config.min >= 1 || !anytrue([for name in keys(var.config.detectors) : startswith(name, "rekognition-video-")])
    error_message = "The pool ${var.pool_name} has detectors of videos, so min must be 1 or more: jobs under way aren't messages, and a pool without tasks finds no end of a job."
  }

  validation {
    condition     = alltrue([for name in keys(var.config.prices) : contains(keys(var.config.detectors), name) && !contains(keys(var.config.price_tiers), name)]) && alltrue([for price in values(var.config.prices) : price >= 0])
    error_message = "The pool ${var.pool_name}: prices must be US dollars, 0 or more, for detectors of the pool that price_tiers doesn't name."
  }

  validation {
    condition = alltrue([for name in concat(
      keys(var.config.routes), keys(var.config.isolation), keys(var.config.hosted_models),
      flatten([for route in values(var.config.routes) : [for found in route.found : found.detector]]),
    ) : contains(keys(var.config.detectors), name)])
    error_message = "The pool ${var.pool_name}: routes, their found, isolation and hosted_models name detectors of the pool (${join(", ", keys(var.config.detectors))})."
  }

  validation {
    condition     = var.config.event_bus_arn == null || can(regex("^arn:[a-z-]+:events:[a-z0-9-]+:[0-9]{12}:event-bus/", var.config.event_bus_arn))
    error_message = "The pool ${var.pool_name}: event_bus_arn must be the ARN of an EventBridge event bus."
  }

  validation {
    condition     = alltrue([for name in concat(keys(var.config.price_tiers), keys(var.config.monthly_budgets_usd)) : contains(keys(var.config.detectors), name)]) && alltrue([for budget in values(var.config.monthly_budgets_usd) : budget >= 0])
    error_message = "The pool ${var.pool_name}: price_tiers and monthly_budgets_usd must be for detectors of the pool, and a budget 0 or more."
  }

  validation {
    condition     = length(var.config.key_prefixes) == 0 || length(var.config.key_suffixes) == 0
    error_message = "The pool ${var.pool_name}: give key_prefixes or key_suffixes, not both. SNS joins them by OR."
  }

  # SNS allows a filter 150 combinations: the number of values times their depth in the message, which is 4.
  validation {
    condition = alltrue([for pattern in concat(var.config.key_prefixes, var.config.key_suffixes) :
      can(regex("^[\\pL\\pM\\pN /_.-]+$", pattern))
    ]) && length(var.config.key_prefixes) + length(var.config.key_suffixes) <= 37
    error_message = "The pool ${var.pool_name}: key_prefixes and key_suffixes are up to 37 texts of letters, digits, spaces and / _ . -"
  }

  validation {
    condition = var.config.gpu || contains(flatten([
      [for memory in [512, 1024, 2048] : "256/${memory}"],
      [for memory in range(1024, 4097, 1024) : "512/${memory}"],
      [for memory in range(2048, 8193, 1024) : "1024/${memory}"],
      [for memory in range(4096, 16385, 1024) : "2048/${memory}"],
      [for memory in range(8192, 30721, 1024) : "4096/${memory}"],
      [for memory in range(16384, 61441, 4096) : "8192/${memory}"],
      [for memory in range(32768, 122881, 8192) : "16384/${memory}"],
    ]), "${var.config.cpu}/${var.config.memory}")
    error_message = "The pool ${var.pool_name}: Fargate has no size of ${var.config.cpu} CPU units with ${var.config.memory} MiB. Allowed are 256 (512–2048), 512 (1024–4096), 1024 (2048–8192), 2048 (4096–16384), 4096 (8192–30720), each in steps of 1024, 8192 (16384–61440 by 4096) and 16384 (32768–122880 by 8192)."
  }

  validation {
    condition     = length(var.config.gpu_instance_types) > 0 && alltrue([for type in var.config.gpu_instance_types : can(regex("^(g[4-6][a-z0-9]*|gr6|p[3-5][a-z0-9]*)\\.[a-z0-9]+$", type))])
    error_message = "The pool ${var.pool_name}: gpu_instance_types must be instance types with an NVIDIA GPU, such as g4dn.xlarge."
  }

  validation {
    condition     = var.config.spot_share >= 0 && var.config.spot_share <= 1
    error_message = "The pool ${var.pool_name}: spot_share must be between 0 (none) and 1 (all)."
  }

  validation {
    condition     = var.config.min >= 0 && var.config.max >= 1 && var.config.min <= var.config.max && floor(var.config.min) == var.config.min && floor(var.config.max) == var.config.max
    error_message = "The pool ${var.pool_name}: min (${var.config.min}) and max (${var.config.max}) must be whole numbers of tasks, 0 ≤ min ≤ max and 1 ≤ max."
  }

  validation {
    condition     = var.config.images_per_minute_per_task > 0 && var.config.latency_target_seconds >= 60 && contains(range(3, 61), var.config.idle_minutes)
    error_message = "The pool ${var.pool_name}: images_per_minute_per_task must be above 0, latency_target_seconds at least 60 and idle_minutes a whole number from 3 to 60."
  }

  validation {
    condition = (
      var.config.max_in_flight >= 10 && var.config.max_in_flight <= 10000 && floor(var.config.max_in_flight) == var.config.max_in_flight
      && var.config.max_receive_count >= 2 && var.config.max_receive_count <= 1000 && floor(var.config.max_receive_count) == var.config.max_receive_count
    )
    error_message = "The pool ${var.pool_name}: max_in_flight must be a whole number from 10 to 10,000, and max_receive_count one from 2 to 1,000 (a crash must not cost an image its only chance)."
  }

  validation {
    condition     = floor(var.config.visibility_timeout_seconds) == var.config.visibility_timeout_seconds && var.config.visibility_timeout_seconds <= 43200 && var.config.heartbeat_seconds >= 0.1 && var.config.heartbeat_seconds * 2 <= var.config.visibility_timeout_seconds
    error_message = "The pool ${var.pool_name}: heartbeat_seconds (${var.config.heartbeat_seconds}) must be at most half of visibility_timeout_seconds (${var.config.visibility_timeout_seconds}, a whole number, at most 43,200), or messages reappear while they are worked on."
  }

  validation {
    condition     = var.config.detector_timeout_seconds > 0 && var.config.detector_timeout_seconds + var.config.heartbeat_seconds <= var.config.visibility_timeout_seconds
    error_message = "The pool ${var.pool_name}: visibility_timeout_seconds (${var.config.visibility_timeout_seconds}) must be at least detector_timeout_seconds + heartbeat_seconds (${var.config.detector_timeout_seconds + var.config.heartbeat_seconds}), so that one missed heartbeat does not give a message away in the middle of a call."
  }

  validation {
    condition     = var.config.shutdown_grace_seconds >= 0 && var.config.stop_timeout_seconds > var.config.shutdown_grace_seconds + 10
    error_message = "The pool ${var.pool_name}: stop_timeout_seconds (${var.config.stop_timeout_seconds}) must be above shutdown_grace_seconds + 10 (${var.config.shutdown_grace_seconds + 10}): the worker commits and hands back after the grace."
  }

  validation {
    condition     = var.config.stop_timeout_seconds <= (var.config.gpu ? 3600 : 120) && floor(var.config.stop_timeout_seconds) == var.config.stop_timeout_seconds
    error_message = "The pool ${var.pool_name}: stop_timeout_seconds is a whole number, at most 120 on Fargate (3,600 with a GPU)."
  }

  validation {
    condition = alltrue([for name in keys(var.config.settings) : contains([
      "log_level", "max_decoding_bytes", "max_detections", "max_image_bytes", "max_image_px", "max_jobs", "max_response_bytes",
      "max_video_bytes", "max_video_detections", "plugins_dir", "video",
      "prefetch_images", "prefetch_threads", "retry_window_seconds", "traces_endpoint", "wait_time_seconds",
    ], name)])
    error_message = "The pool ${var.pool_name}: settings can set log_level, max_decoding_bytes, max_detections, max_image_bytes, max_image_px, max_jobs, max_response_bytes, max_video_bytes, max_video_detections, plugins_dir, prefetch_images, prefetch_threads, retry_window_seconds, traces_endpoint, video and wait_time_seconds. The other settings of a worker have attributes of their own."
  }

  validation {
    condition     = alltrue([for name, value in var.config.settings : can(tonumber(value)) if startswith(name, "max_") || startswith(name, "prefetch_")])
    error_message = "The pool ${var.pool_name}: settings whose names begin with max_ or prefetch_ must be numbers."
  }

  # By default a worker sizes both limits by its memory. Half of it is for decoding, a quarter for
  # files; the rest is for the interpreter and the models. Decoding a JPEG or PNG takes up to 13 bytes
  # per pixel (sdk/src/retinue_sdk/decoding_memory.py).
  validation {
    condition = (
      max(try(tonumber(var.config.settings.max_decoding_bytes), 0), 13 * try(tonumber(var.config.settings.max_image_px), 0))
      * (1 + length(var.config.isolation)) <= var.config.memory * 1048576 / 2
    )
    error_message = "The pool ${var.pool_name}: ${var.config.memory} MiB are too little for settings.max_decoding_bytes or max_image_px. Decoding may take half of a task's memory, with isolation divided among ${1 + length(var.config.isolation)} processes, and takes 13 bytes per pixel. Raise memory, or lower the setting."
  }

  validation {
    condition = (
      try(tonumber(var.config.settings.max_image_bytes), 0) * try(tonumber(var.config.settings.prefetch_images), 8)
      <= var.config.memory * 1048576 / 4
    )
    error_message = "The pool ${var.pool_name}: ${var.config.memory} MiB are too little for ${lookup(var.config.settings, "prefetch_images", 8)} files (settings.prefetch_images) of settings.max_image_bytes. Files may take a quarter of a task's memory. Raise memory, or lower a setting."
  }

  validation {
    condition     = contains(["debug", "info"], lookup(var.config.settings, "log_level", "info"))
    error_message = "The pool ${var.pool_name}: settings.log_level must be debug or info. Alarms and `make smoke` count lines of level info."
  }

  validation {
    condition     = var.config.slo == null ? true : var.config.slo.percent >= 95 && var.config.slo.percent < 100 && var.config.slo.seconds >= 1
    error_message = "The pool ${var.pool_name}: slo.percent must be from 95 to below 100, and slo.seconds 1 or more."
  }

  validation {
    condition     = var.config.alarm_age_seconds >= 60 && var.config.alarm_failed_percent > 0 && var.config.alarm_failed_percent <= 100
    error_message = "The pool ${var.pool_name}: alarm_age_seconds must be at least 60, alarm_failed_percent above 0 and at most 100."
  }
}
