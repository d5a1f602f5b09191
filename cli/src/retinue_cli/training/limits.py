"""The limits of Amazon Rekognition Custom Labels, and the price of training.

Source of the limits: "Guidelines and quotas in Amazon Rekognition Custom Labels"
(https://docs.aws.amazon.com/rekognition/latest/customlabels-dg/limits.html), read 2026-11.
"""

from decimal import Decimal

FORMATS = ("JPEG", "PNG")
MIN_SIDE_PX = 64
MAX_SIDE_PX = 4_096
MAX_IMAGE_BYTES = 15 * 2**20
MAX_ASPECT_RATIO = 20
MAX_IMAGES = 250_000
MAX_MANIFEST_BYTES = 2**30
MAX_LABELS = 250
MIN_LABELS_OF_IMAGES = 2
"""Minimum number of labels: two for whole images, one for boxes."""
MIN_LABEL_OVERLAP = 0.5
"""Minimum share of the labels to learn that the test images have: "Validation rules for manifest
files" (https://docs.aws.amazon.com/rekognition/latest/customlabels-dg/md-create-manifest-file-validation-rules.html).
"""
MAX_LABELS_OF_IMAGE = 50
MAX_BOXES_OF_IMAGE = 50

ADVISED_IMAGES = 10
"""The minimum that "Preparing images" of the same guide recommends."""

USD_PER_HOUR = Decimal("1.00")
"""Price of an hour of training: https://aws.amazon.com/rekognition/pricing/, US East (N. Virginia).
Several machines may work concurrently, and the hours of each are billed.
"""

PRICE_AS_OF = "2026-10-07"

HOURS = (0.5, 24.0)
"""Duration of a training: "Training an Amazon Rekognition Custom Labels model" of that guide."""
