"""Errors of training."""


class TrainingError(Exception):
    """Rekognition or S3 refuses or doesn't answer, or a training failed."""


class LeaseError(TrainingError):
    """Another process holds the model's lease."""
