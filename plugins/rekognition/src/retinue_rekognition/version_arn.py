"""Parse ARNs of Custom Labels model versions."""

import re
from dataclasses import dataclass
from typing import Self

PATTERN = (
    r"^arn:[a-z\d-]+:rekognition:[a-z\d-]+:\d{12}:project/[a-zA-Z0-9_.\-]{1,255}"
    r"/version/[a-zA-Z0-9_.\-]{1,255}/[0-9]+$"
)
"""The service model's own pattern of ``ProjectVersionArn``."""

_PARTS = re.compile(
    r"arn:[^:]+:rekognition:(?P<region>[^:]+):(?P<account>\d{12}):project/(?P<project>[^/]+)"
    r"/version/(?P<version>[^/]+)/\d+"
)


@dataclass(frozen=True, slots=True)
class VersionArn:
    """The parts of a model version's ARN, such as ``arn:…:project/birds/version/v1/17``.

    The project's own ARN can't be derived from it, because it ends in another number.
    """

    arn: str
    region: str
    account: str
    project: str
    version: str

    @classmethod
    def parse(cls, arn: str) -> Self:
        """Parse an ARN.

        Raises:
            ValueError: It isn't the ARN of a model version.
        """
        parts = _PARTS.fullmatch(arn)
        if parts is None or not re.match(PATTERN, arn):
            raise ValueError(f"not the ARN of a Custom Labels model version: {arn!r}")
        return cls(arn, **parts.groupdict())
