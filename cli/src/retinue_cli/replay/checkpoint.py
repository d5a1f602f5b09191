"""Save the position of a backfill in a file, to continue it after an interruption."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(slots=True)
class Checkpoint:
    """A file that is replaced atomically at each save.

    Attributes:
        path: Its path.
        position: The position of the last page that was sent completely; ``None`` at the beginning.
        sent: Number of messages until then.
    """

    path: Path
    position: str | None = None
    sent: int = 0

    @classmethod
    def of(cls, folder: Path, *what: object) -> Self:
        """Return a backfill's saved checkpoint, or a new one.

        Args:
            folder: The folder of checkpoints.
            *what: The values that identify a backfill: source, queue, filters.
        """
        digest = hashlib.sha256(repr(what).encode()).hexdigest()[:16]
        path = folder / f"backfill-{digest}.json"
        try:
            saved = json.loads(path.read_text("utf-8"))
            return cls(path, str(saved["position"]), int(saved["sent"]))
        except (OSError, ValueError, KeyError, TypeError):  # none exists, or it isn't ours
            return cls(path)

    def save(self, position: str, sent: int) -> None:
        """Save that a page with ``sent`` messages is done."""
        self.position = position
        self.sent += sent
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(f".{os.getpid()}")
        text = json.dumps({"position": self.position, "sent": self.sent})
        fresh.write_text(text, "utf-8")
        fresh.replace(self.path)

    def clear(self) -> None:
        """Remove the checkpoint, because the backfill is done or starts over."""
        self.path.unlink(missing_ok=True)
        self.position, self.sent = None, 0
