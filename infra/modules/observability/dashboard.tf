# A row of graphs for each pool, and one for the database.

locals {
  region     = data.aws_region.current.id
  pool_names = sort(keys(var.pools))

  pool_graphs = { for name in local.pool_names : name => [
    {
      title = "${name}: messages"
      stat  = "Maximum"
      metrics = [
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", var.pools[name].queue_name, { label = "visible" }],
        ["AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "QueueName", var.pools[name].queue_name, { label = "in flight" }],
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", var.pools[name].dead_letter_queue_name, { label = "dead letters" }],
      ]
    },
    {
      title   = "${name}: age of the oldest message, seconds"
      stat    = "Maximum"
      metrics = [["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", var.pools[name].queue_name, { label = "age" }]]
    },
    {
      title = "${name}: runs"
      stat  = "Sum"
      metrics = [
        [var.pools[name].metric_namespace, "runs", { label = "all" }],
        [var.pools[name].metric_namespace, "failed_runs", { label = "failed" }],
        [var.pools[name].metric_namespace, "late_runs", { label = "late" }],
        ["${var.pools[name].metric_namespace}/worker", "receiving_paused", { label = "receiving paused" }],
        [var.pools[name].metric_namespace, "throttled_calls", { label = "throttled calls" }],
      ]
    },
    {
      title = "${name}: tasks"
      stat  = "Average"
      metrics = [
        ["ECS/ContainerInsights", "RunningTaskCount", "ClusterName", var.cluster_name, "ServiceName", var.pools[name].service_name, { label = "running" }],
        ["ECS/ContainerInsights", "DesiredTaskCount", "ClusterName", var.cluster_name, "ServiceName", var.pools[name].service_name, { label = "desired" }],
      ]
    },
  ] }

  database_graphs = [for title, metric in var.database_identifier == null ? {} : {
    "database: processor, percent"  = "CPUUtilization"
    "database: connections"         = "DatabaseConnections"
    "database: free storage, bytes" = "FreeStorageSpace"
    "database: write latency, s"    = "WriteLatency"
    } : {
    title   = title
    stat    = "Average"
    metrics = [["AWS/RDS", metric, "DBInstanceIdentifier", var.database_identifier]]
  }]

  rows = concat([for name in local.pool_names : local.pool_graphs[name]], var.database_identifier == null ? [] : [local.database_graphs])
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = flatten([for row, graphs in local.rows : [for column, graph in graphs : {
      type   = "metric"
      x      = column * 6
      y      = row * 6
      width  = 6
      height = 6
      properties = {
        title   = graph.title
        region  = local.region
        stat    = graph.stat
        period  = 60
        metrics = graph.metrics
      }
    }]])
  })
}
