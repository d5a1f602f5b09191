"""What answers in place of a detector's service where there is no account for it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StandIn:
    """A program that ``retinue run`` starts on a laptop in place of a service.

    It says so on the screen. What the program answers is never presented as the service's own.

    Attributes:
        service: The service's name for people, such as ``Amazon Rekognition``.
        module: Run as ``python -m MODULE --port 0``. As soon as it serves, on 127.0.0.1, it prints
            a line that begins with ``listening on `` and the URL; SIGTERM ends it. Where S3 is, it
            learns as any program with boto3 does.
        variable: The environment variable by which the detector finds the URL.
        option: The option by which a user names another endpoint; the program is not started then.
        honesty: What people must know about its answers: a sentence or two.
    """

    service: str
    module: str
    variable: str
    option: str
    honesty: str
