"""The permissions of the plugin."""

IAM_ACTIONS = frozenset(
    {
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
        "rekognition:IndexFaces",
        "rekognition:ListFaces",
        "rekognition:RecognizeCelebrities",
        "rekognition:SearchFaces",
        "rekognition:SearchFacesByImage",
        "rekognition:StartProjectVersion",
        "rekognition:StopProjectVersion",
        "s3:GetObject",
        "s3:GetObjectVersion",
        "s3:ListBucket",
    }
)
"""IAM actions of all detectors. ``RekognitionDetector.operations`` has those of each detector.

Rekognition reads the image from S3 with the caller's permissions. HeadObject, which gives the
reason of a failure, needs the same ones, and s3:ListBucket to distinguish a missing object from a
forbidden one.
"""
