"""What goes wrong with training."""


class TrainingError(Exception):
    """Rekognition or S3 refuses or does not answer, or a training failed."""


class LeaseError(TrainingError):
    """Somebody else keeps the model."""
