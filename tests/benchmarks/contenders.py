"""Who drains the queue: Retinue's worker, and what one would write without it."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.backlog import Site, event_bodies


@dataclass(frozen=True)
class Retinue:
    """The worker, as ECS runs it, with Rekognition's labels.

    Attributes:
        calls: How many calls of the detector may be in flight.
        settings: Settings other than the defaults.
    """

    calls: int = 16
    settings: Mapping[str, str] = field(default_factory=dict)
    name: str = "Retinue"

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "retinue_workers", "worker"]

    def environment(self, site: Site) -> Mapping[str, str]:
        options = {"max_concurrency": self.calls, "requests_per_second": 100_000}
        return {
            "RETINUE_QUEUE_URL": site.queue_url,
            "RETINUE_DATABASE_URL": site.database_url,
            "RETINUE_DETECTORS": json.dumps({"rekognition-labels": options}),
            "RETINUE_MAX_IN_FLIGHT": str(max(40, 3 * self.calls)),
            **self.settings,
        }

    def bodies(self, number: int) -> Sequence[str]:
        return event_bodies(number)
