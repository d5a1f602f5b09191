# Athena's table and view. The table reads the lists of published files that `retinue maintain` writes,
# so it never sees a file that isn't published. Partitions are computed, not stored.

locals {
  # docs/archive.md has the same columns, and a test compares them. The detector is a partition's key.
  columns = [
    { name = "detection_id", type = "bigint" },
    { name = "run_id", type = "bigint" },
    { name = "image_id", type = "string" },
    { name = "bucket", type = "string" },
    { name = "key", type = "string" },
    { name = "version", type = "string" },
    { name = "detector_version", type = "string" },
    { name = "fingerprint", type = "string" },
    { name = "model_version", type = "string" },
    { name = "ordinal", type = "int" },
    { name = "kind", type = "string" },
    { name = "label", type = "string" },
    { name = "confidence", type = "double" },
    { name = "box_left", type = "double" },
    { name = "box_top", type = "double" },
    { name = "box_width", type = "double" },
    { name = "box_height", type = "double" },
    { name = "attributes", type = "string" },
    { name = "detected_at", type = "timestamp" },
    { name = "uploaded_at", type = "timestamp" },
    { name = "deleted_at", type = "timestamp" },
    { name = "width_px", type = "int" },
    { name = "height_px", type = "int" },
    { name = "start_ms", type = "int" },
    { name = "end_ms", type = "int" },
    { name = "track", type = "int" },
  ]
}

resource "aws_glue_catalog_database" "this" {
  name = replace("${var.name}_archive", "-", "_")
}

resource "aws_glue_catalog_table" "detections" {
  name          = "detections"
  description   = "Archived detections, by detector and month"
  database_name = aws_glue_catalog_database.this.name
  table_type    = "EXTERNAL_TABLE"

  parameters = {
    "EXTERNAL"                       = "TRUE"
    "projection.enabled"             = "true"
    "projection.detector.type"       = "enum"
    "projection.detector.values"     = join(",", var.detectors)
    "projection.month.type"          = "date"
    "projection.month.format"        = "yyyy-MM"
    "projection.month.range"         = "${var.first_month},NOW"
    "projection.month.interval"      = "1"
    "projection.month.interval.unit" = "MONTHS"
    "storage.location.template"      = "s3://${aws_s3_bucket.this.id}/athena/detector=$${detector}/month=$${month}/"
  }

  partition_keys {
    name = "detector"
    type = "string"
  }

  partition_keys {
    name = "month"
    type = "string"
  }

  storage_descriptor {
    location      = "s3://${aws_s3_bucket.this.id}/athena/"
    input_format  = "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.IgnoreKeyTextOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    }

    dynamic "columns" {
      for_each = local.columns

      content {
        name = columns.value.name
        type = columns.value.type
      }
    }
  }
}

resource "aws_athena_workgroup" "this" {
  name          = "${var.name}-archive"
  description   = "Queries of archived detections"
  force_destroy = var.force_destroy

  configuration {
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.max_query_gb * 1000000000

    result_configuration {
      output_location = "s3://${aws_s3_bucket.this.id}/results/"

      encryption_configuration {
        encryption_option = "SSE_KMS"
        kms_key_arn       = var.key_arn
      }
    }
  }
}

# The view of the same name and columns as in Postgres, without `box`.
resource "aws_athena_named_query" "detection_history" {
  name        = "detection_history"
  description = "Creates the view detection_history. Run it once."
  workgroup   = aws_athena_workgroup.this.id
  database    = aws_glue_catalog_database.this.name

  query = <<-SQL
    CREATE OR REPLACE VIEW detection_history AS
    SELECT
        detection_id, run_id, image_id, bucket, key, version,
        's3://' || bucket || '/' || key AS s3_uri,
        detector, detector_version, fingerprint, model_version, ordinal, kind, label, confidence,
        box_left, box_top, box_width, box_height, attributes, detected_at, uploaded_at, deleted_at,
        width_px, height_px, box_width * width_px AS box_width_px,
        box_height * height_px AS box_height_px, start_ms, end_ms, track, month
    FROM detections
  SQL
}
