"""How far a backfill has come, kept in a file so that it goes on after it was killed."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(slots=True)
class Checkpoint:
    """A file that is replaced as a whole each time it is saved.

    Attributes:
        path: Where it is.
        position: Of the last page that SQS has all messages of; ``None`` at the beginning.
        sent: How many messages that makes.
    """

    path: Path
    position: str | None = None
    sent: int = 0

    @classmethod
    def of(cls, folder: Path, *what: object) -> Self:
        """The checkpoint of a backfill, as it was saved last, or a fresh one.

        Args:
            folder: Where checkpoints are kept.
            *what: What makes it the same backfill: source, queue, filters.
        """
        digest = hashlib.sha256(repr(what).encode()).hexdigest()[:16]
        path = folder / f"backfill-{digest}.json"
        try:
            saved = json.loads(path.read_text("utf-8"))
            return cls(path, str(saved["position"]), int(saved["sent"]))
        except (OSError, ValueError, KeyError, TypeError):  # none yet, or not one of ours
            return cls(path)

    def save(self, position: str, sent: int) -> None:
        """Write down that a page is done; ``sent`` messages were in it."""
        self.position = position
        self.sent += sent
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(f".{os.getpid()}")
        text = json.dumps({"position": self.position, "sent": self.sent})
        fresh.write_text(text, "utf-8")
        fresh.replace(self.path)

    def clear(self) -> None:
        """Remove the checkpoint: the backfill is done, or starts over."""
        self.path.unlink(missing_ok=True)
        self.position, self.sent = None, 0
