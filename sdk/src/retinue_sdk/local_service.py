"""What replaces a detector's service on a laptop without an account for it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LocalService:
    """A program that ``retinue run`` starts on a laptop instead of a service.

    The screen says so. The program's answers are never presented as the service's own: the
    detector's findings have the model version ``emulator``, and views leave them out.

    Attributes:
        service: The service's name as users know it, such as ``Amazon Rekognition``.
        module: Run as ``python -m MODULE --port 0``. When it serves on 127.0.0.1, it prints a line
            that begins with ``listening on `` and the URL. SIGTERM ends it. It finds S3 as every
            program with boto3 does.
        variable: The environment variable from which the detector takes the URL.
        option: The detector's option that names another endpoint. If it is set, the program isn't
            started.
        disclaimer: What users must know about its answers, in a sentence or two.
    """

    service: str
    module: str
    variable: str
    option: str
    disclaimer: str
