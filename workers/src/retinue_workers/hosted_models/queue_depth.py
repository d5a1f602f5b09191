"""What waits for a model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from botocore.exceptions import BotoCoreError, ClientError

from retinue_workers.intake.sqs import QueueUnavailableError

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a queue holds.

    Attributes:
        visible: Messages that wait, those that are delayed included.
        in_flight: Messages received and not deleted yet, by any worker.
    """

    visible: int
    in_flight: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.visible + self.in_flight

    @classmethod
    def of(cls, client: "SQSClient", url: str) -> Self:
        """Ask a queue: one call. SQS counts approximately, and tells numbers as text.

        Raises:
            QueueUnavailableError: It does not answer.
        """
        try:
            told = client.get_queue_attributes(
                QueueUrl=url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesDelayed",
                    "ApproximateNumberOfMessagesNotVisible",
                ],
            ).get("Attributes", {})
            return cls(
                visible=int(told["ApproximateNumberOfMessages"])
                + int(told["ApproximateNumberOfMessagesDelayed"]),
                in_flight=int(told["ApproximateNumberOfMessagesNotVisible"]),
            )
        except (BotoCoreError, ClientError, KeyError, ValueError) as error:
            raise QueueUnavailableError(f"cannot ask {url}: {error}") from error
