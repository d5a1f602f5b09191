# The worker's permissions in AWS: exactly the calls of its code. tests/infra records the
# calls and holds them against this file.

locals {
  # Operations of each detector of plugins/rekognition, as its class declares them. Those on a
  # collection, a model or a project are apart: they can be allowed on that alone.
  media_operations = {
    rekognition-celebrities   = ["RecognizeCelebrities"]
    rekognition-custom-labels = ["DescribeProjects"]
    rekognition-face-compare  = ["CompareFaces", "DetectFaces"]
    rekognition-face-search   = ["DetectFaces"]
    rekognition-faces         = ["DetectFaces"]
    rekognition-labels        = ["DetectLabels"]
    rekognition-moderation    = ["DetectModerationLabels"]
    rekognition-ppe           = ["DetectProtectiveEquipment"]
    rekognition-text          = ["DetectText"]

    rekognition-video-celebrities = ["GetCelebrityRecognition", "StartCelebrityRecognition"]
    rekognition-video-face-search = ["GetFaceSearch"]
    rekognition-video-faces       = ["GetFaceDetection", "StartFaceDetection"]
    rekognition-video-labels      = ["GetLabelDetection", "StartLabelDetection"]
    rekognition-video-moderation  = ["GetContentModeration", "StartContentModeration"]
    rekognition-video-segments    = ["GetSegmentDetection", "StartSegmentDetection"]
    rekognition-video-text        = ["GetTextDetection", "StartTextDetection"]
  }
  collection_operations = {
    rekognition-face-search = [
      "DeleteFaces", "DescribeCollection", "IndexFaces", "ListFaces", "SearchFaces", "SearchFacesByImage",
    ]
    rekognition-video-face-search = ["DescribeCollection", "StartFaceSearch"]
  }

  # Models in S3 that detectors' options name, such as s3://bucket/models/birds/3/model.onnx#sha256=….
  model_arns = sort(distinct([
    for model in flatten([
      for options in values(var.config.detectors) : [try(options.model, ""), try(jsondecode(options.objects).model, "")]
    ]) : "arn:${local.partition}:s3:::${trimprefix(split("#", model)[0], "s3://")}"
    if try(startswith(model, "s3://"), false)
  ]))

  # Reference images of rekognition-face-compare, such as s3://bucket/people/ann.jpg?versionId=….
  reference_arns = sort(distinct([
    for options in values(var.config.detectors) :
    "arn:${local.partition}:s3:::${trimprefix(split("?versionId=", options.reference_image)[0], "s3://")}"
    if startswith(try(options.reference_image, ""), "s3://")
  ]))

  version_operations = {
    rekognition-custom-labels = ["DetectCustomLabels", "StartProjectVersion", "StopProjectVersion"]
  }
  project_operations = {
    rekognition-custom-labels = ["DescribeProjectVersions"]
  }

  media_actions = sort(distinct(flatten([
    for detector in keys(local.detectors) :
    [for operation in lookup(local.media_operations, detector, []) : "rekognition:${operation}"]
  ])))
  collection_statements = [
    for detector, operations in local.collection_operations : {
      Sid    = "CollectionOf${join("", [for word in split("-", detector) : title(word)])}"
      Effect = "Allow"
      Action = [for operation in operations : "rekognition:${operation}"]
      Resource = [join(":", [
        "arn", local.partition, "rekognition", local.region, local.account_id,
        "collection/${local.detectors[detector].collection_id}",
      ])]
    } if contains(keys(local.detectors), detector)
  ]
  version_statements = [
    for detector, operations in local.version_operations : {
      Sid      = "Model"
      Effect   = "Allow"
      Action   = [for operation in operations : "rekognition:${operation}"]
      Resource = [local.detectors[detector].project_version_arn]
    } if contains(keys(local.detectors), detector)
  ]
  # A project's own ARN ends in a number that is not in its versions' ARNs.
  project_statements = [
    for detector, operations in local.project_operations : {
      Sid      = "Project"
      Effect   = "Allow"
      Action   = [for operation in operations : "rekognition:${operation}"]
      Resource = ["${split("/version/", local.detectors[detector].project_version_arn)[0]}/*"]
    } if contains(keys(local.detectors), detector)
  ]
}

resource "aws_iam_role_policy" "task" {
  name = "work"
  role = module.task.task_role.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "Consume"
          Effect   = "Allow"
          Action   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
          Resource = [aws_sqs_queue.this.arn]
        },
        {
          Sid      = "ReadImages"
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:GetObjectVersion"]
          Resource = [for arn in var.images.bucket_arns : "${arn}/*"]
        },
        {
          # Without it S3 answers "forbidden" for an object that is missing.
          Sid      = "TellMissingFromForbidden"
          Effect   = "Allow"
          Action   = ["s3:ListBucket"]
          Resource = var.images.bucket_arns
        },
        {
          Sid      = "SignInToTheDatabase"
          Effect   = "Allow"
          Action   = ["rds-db:connect"]
          Resource = [var.database.login_arn]
        },
        {
          # Called by ECS's agent for the worker: a task that works is not scaled in.
          Sid      = "ProtectItsTask"
          Effect   = "Allow"
          Action   = ["ecs:UpdateTaskProtection"]
          Resource = ["${replace(var.task.cluster.arn, ":cluster/", ":task/")}/*"]
        },
        {
          # Called by S3 and SQS on the worker's behalf, never by the worker.
          Sid      = "DecryptImagesAndMessages"
          Effect   = "Allow"
          Action   = ["kms:Decrypt"]
          Resource = concat([var.task.key_arn], var.images.key_arns)
          Condition = { StringEquals = { "kms:ViaService" = [
            "s3.${local.region}.amazonaws.com", "sqs.${local.region}.amazonaws.com",
          ] } }
        },
      ],
      [for statement in [{
        Sid      = "AskRekognition"
        Effect   = "Allow"
        Action   = local.media_actions
        Resource = ["*"] # AWS knows no resource for operations on an image or video, nor for DescribeProjects
      }] : statement if length(local.media_actions) > 0],
      [for statement in [{
        Sid      = "ReadModels"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = local.model_arns
      }] : statement if length(local.model_arns) > 0],
      [for statement in [{
        # Rekognition reads them with the worker's rights.
        Sid      = "ReadReferenceImages"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectVersion"]
        Resource = local.reference_arns
      }] : statement if length(local.reference_arns) > 0],
      local.collection_statements,
      local.version_statements,
      local.project_statements,
      [for role in aws_iam_role.jobs : {
        # Rekognition checks it when a job starts that names the role.
        Sid       = "LetRekognitionAnnounceJobs"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = [role.arn]
        Condition = { StringEquals = { "iam:PassedToService" = "rekognition.amazonaws.com" } }
      }],
      [for statement in [{
        Sid      = "ReadTags"
        Effect   = "Allow"
        Action   = ["s3:GetObjectTagging", "s3:GetObjectVersionTagging"]
        Resource = [for arn in var.images.bucket_arns : "${arn}/*"]
      }] : statement if anytrue([for route in values(var.config.routes) : route.tags != null])],
      [for bus in [var.config.event_bus_arn] : {
        Sid      = "PublishRuns"
        Effect   = "Allow"
        Action   = ["events:PutEvents"]
        Resource = [bus]
      } if bus != null],
    )
  })
}
