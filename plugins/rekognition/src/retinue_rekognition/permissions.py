"""The permissions of the plugin."""

IAM_ACTIONS = frozenset(
    {
        "iam:PassRole",
        "rekognition:CompareFaces",
        "rekognition:DeleteFaces",
        "rekognition:DescribeCollection",
        "rekognition:DescribeProjectVersions",
        "rekognition:DescribeProjects",
        "rekognition:DetectCustomLabels",
        "rekognition:DetectFaces",
        "rekognition:DetectLabels",
        "rekognition:DetectModerationLabels",
        "rekognition:DetectProtectiveEquipment",
        "rekognition:DetectText",
        "rekognition:GetCelebrityRecognition",
        "rekognition:GetContentModeration",
        "rekognition:GetFaceDetection",
        "rekognition:GetFaceSearch",
        "rekognition:GetLabelDetection",
        "rekognition:GetSegmentDetection",
        "rekognition:GetTextDetection",
        "rekognition:IndexFaces",
        "rekognition:ListFaces",
        "rekognition:RecognizeCelebrities",
        "rekognition:SearchFaces",
        "rekognition:SearchFacesByImage",
        "rekognition:StartCelebrityRecognition",
        "rekognition:StartContentModeration",
        "rekognition:StartFaceDetection",
        "rekognition:StartFaceSearch",
        "rekognition:StartLabelDetection",
        "rekognition:StartProjectVersion",
        "rekognition:StartSegmentDetection",
        "rekognition:StartTextDetection",
        "rekognition:StopProjectVersion",
        "s3:GetObject",
        "s3:GetObjectVersion",
        "s3:ListBucket",
    }
)
"""IAM actions of all detectors. ``RekognitionService.operations`` has those of each detector.

Rekognition reads the object from S3 with the caller's permissions. HeadObject, which gives the
reason of a failure, needs the same ones, and s3:ListBucket to distinguish a missing object from a
forbidden one. iam:PassRole is needed on the role of the option ``notification_role_arn`` alone.
"""
