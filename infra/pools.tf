# The settings of a pool. This is the only declaration of its type and defaults: modules/pool gets
# one value of the map as it is, and checks it (modules/pool/config.tf).

variable "pools" {
  description = "Pools by name. A pool is a queue and a service of workers: its detectors with their options, which images it gets, its size, scaling and time limits. README.md describes the attributes."
  type = map(object({
    # Detectors with their options as text (numbers, true and lists in JSON), their prices and budgets, and
    # which images they get.
    detectors           = map(map(string))
    prices              = optional(map(number), {})
    price_tiers         = optional(map(list(object({ up_to_units = optional(number), usd = number }))), {})
    monthly_budgets_usd = optional(map(number), {})
    key_prefixes        = optional(list(string), [])
    key_suffixes        = optional(list(string), [])

    # Conditions by detector: docs/routing.md.
    routes = optional(map(object({
      bucket         = optional(list(string))
      key            = optional(list(string))
      extension      = optional(list(string))
      min_size_bytes = optional(number)
      max_size_bytes = optional(number)
      content_type   = optional(list(string))
      metadata       = optional(map(list(string)))
      tags           = optional(map(list(string)))
      min_width_px   = optional(number)
      max_width_px   = optional(number)
      min_height_px  = optional(number)
      max_height_px  = optional(number)
      found = optional(list(object({
        detector       = string
        label          = optional(list(string))
        kind           = optional(list(string))
        min_confidence = optional(number)
        min_count      = optional(number)
        if_unknown     = optional(string)
      })), [])
    })), {})

    # Detectors in processes of their own (docs/isolation.md), and detectors whose Custom Labels model the
    # workers start and stop (docs/custom-labels.md).
    isolation = optional(map(object({ max_memory_bytes = optional(number) })), {})
    hosted_models = optional(map(object({
      backlog              = optional(number, 1)
      max_wait_seconds     = optional(number)
      windows              = optional(list(object({ cron = string, minutes = number })), [])
      cooldown_seconds     = optional(number, 2400)
      urgent_backlog       = optional(number, 5000)
      idle_timeout_seconds = optional(number, 60)
      min_units            = optional(number, 1)
      max_units            = optional(number, 1)
      images_per_unit      = optional(number, 5000)
      max_failures         = optional(number, 3)
    })), {})

    # EventBridge bus that finished runs are published to.
    event_bus_arn = optional(string)

    # Size of a task in CPU units and MiB; share of tasks on spot capacity.
    cpu                = optional(number, 1024)
    memory             = optional(number, 2048)
    gpu                = optional(bool, false)
    gpu_instance_types = optional(list(string), ["g4dn.xlarge", "g5.xlarge"])
    spot_share         = optional(number, 0)

    # Number of tasks. With min = 0 the pool sleeps when it has nothing to do.
    min                        = optional(number, 0)
    max                        = optional(number, 4)
    images_per_minute_per_task = optional(number, 60)
    latency_target_seconds     = optional(number, 300)
    idle_minutes               = optional(number, 15)

    # Settings of the worker: docs/settings.md. `settings` takes those without an attribute here.
    max_in_flight              = optional(number, 40)
    max_receive_count          = optional(number, 5)
    visibility_timeout_seconds = optional(number, 120)
    heartbeat_seconds          = optional(number, 30)
    detector_timeout_seconds   = optional(number, 60)
    shutdown_grace_seconds     = optional(number, 45)
    stop_timeout_seconds       = optional(number, 90)
    settings                   = optional(map(string), {})

    # Objective: share of runs that succeed, and that are recorded within so many seconds of their message.
    slo = optional(object({ percent = optional(number, 99), seconds = optional(number, 900) }))

    # Limits of the pool's alarms.
    alarm_age_seconds    = optional(number, 1800)
    alarm_failed_percent = optional(number, 10)
  }))
  nullable = false

  validation {
    condition     = length(var.pools) > 0
    error_message = "pools is empty: give at least one, such as pools = { labels = { detectors = { rekognition-labels = {} } } }."
  }
  # A model runs while messages wait in the queue of the pool whose worker holds its lease.
  validation {
    condition = alltrue([for arns in [flatten([for pool in values(var.pools) : [for name in keys(pool.hosted_models) :
      [for arn in [try(pool.detectors[name].project_version_arn, null)] : arn if arn != null]
    ]])] : length(distinct(arns)) == length(arns)])
    error_message = "Two pools host the same model. The messages of one pool decide whether it runs, and those of the other would wait. Use it in one pool, which can have several key_prefixes."
  }
  # An attribute that is null has its default. Values of maps and lists have none.
  validation {
    condition = alltrue([for pool in values(var.pools) : try(alltrue([for value in flatten(concat(
      [for options in values(pool.detectors) : values(options)],
      values(pool.prices), values(pool.monthly_budgets_usd), values(pool.settings),
      pool.key_prefixes, pool.key_suffixes, pool.gpu_instance_types,
      [for tiers in values(pool.price_tiers) : [for tier in tiers : tier.usd]],
      [for route in values(pool.routes) : [for patterns in concat(
        [for list in [route.bucket, route.key, route.extension, route.content_type] : list if list != null],
        [for map in [route.metadata, route.tags] : values(map) if map != null],
        [for found in route.found : concat([found.detector], [for list in [found.label, found.kind] : list if list != null])],
      ) : patterns]],
      [for isolation in values(pool.isolation) : isolation != null ? true : null],
      [for policy in values(pool.hosted_models) : [for window in policy.windows : [window.cron, window.minutes]]],
    )) : value != null]), false)])
    error_message = "pools has null where a map or list has a value: a pool, a detector, an option, a price, a prefix or the like. Leave out the entry."
  }
}
