"""Errors of AWS. They are apart from the clients because importing botocore takes 0.1 s."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retinue_workers.work import Message


class AwsUnavailableError(Exception):
    """No AWS credentials are available now. The endpoint that issues them may be down."""


class QueueUnavailableError(Exception):
    """The queue didn't answer, or refused. Its messages are safe.

    Attributes:
        messages: The messages of the call that are unchanged.
    """

    def __init__(self, reason: str, messages: "Sequence[Message]" = ()) -> None:
        super().__init__(reason)
        self.messages = tuple(messages)
