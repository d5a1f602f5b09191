"""Programs that replace a detector's service on a laptop without an account for it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LocalService:
    """A program that ``retinue run`` starts on a laptop instead of a service.

    ``retinue run`` prints this. Answers of the program are never presented as the service's: the
    detector's findings have the model version ``emulator``, and views exclude them.

    Attributes:
        service: The service's name for users, such as ``Amazon Rekognition``.
        module: Run as ``python -m MODULE --port 0``. When it serves on 127.0.0.1, it prints a line
            that begins with ``listening on `` and the URL. SIGTERM ends it. It uses boto3's
            standard configuration to find S3.
        variable: The environment variable that gives the detector the URL.
        option: The detector's option that names another endpoint. If it is set, the program isn't
            started.
        disclaimer: One or two sentences that users must know about its answers.
    """

    service: str
    module: str
    variable: str
    option: str
    disclaimer: str
