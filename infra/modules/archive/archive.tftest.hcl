mock_provider "aws" {
  source = "../../testing"
}

variables {
  name      = "retinue-test"
  key_arn   = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  detectors = ["onnx-objects", "rekognition-labels"]
}

run "athena_reads_only_published_files" {
  command = apply

  assert {
    condition     = aws_s3_bucket.this.bucket == "retinue-test-archive-123456789012-eu-west-1"
    error_message = "the bucket's name must be unique in the world, also among regions"
  }

  assert {
    condition     = aws_glue_catalog_table.detections.storage_descriptor[0].input_format == "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"
    error_message = "Athena must read the lists of files, not the folder"
  }

  assert {
    condition     = endswith(aws_glue_catalog_table.detections.parameters["storage.location.template"], "/athena/detector=$${detector}/month=$${month}/")
    error_message = "the lists are under athena/"
  }

  assert {
    condition     = alltrue([for statement in output.read_statements : !anytrue([for action in statement.Action : can(regex("Put|Delete|GenerateDataKey", action))])])
    error_message = "who reads may not write"
  }
}

run "refuses_bad_input" {
  command = plan

  variables {
    name         = "Retinue"
    key_arn      = "alias/retinue"
    detectors    = ["a/b"]
    first_month  = "2026"
    max_query_gb = 0.5
  }

  expect_failures = [var.name, var.key_arn, var.detectors, var.first_month, var.max_query_gb]
}
