"""What the plugin must be allowed to do."""

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
"""IAM actions of all detectors together; ``RekognitionDetector.operations`` tells them apart.

Rekognition reads the image from S3 with the caller's permissions. HeadObject, which says why it
could not, needs the same ones, and s3:ListBucket to tell a missing object from a forbidden one.
"""
