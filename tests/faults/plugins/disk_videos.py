"""A service that processes videos, on disk: it outlives the workers that are killed."""

import asyncio
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar

from retinue_sdk import (
    Capabilities,
    Detection,
    DetectorOptions,
    Findings,
    Input,
    JobDetector,
    Operational,
    Video,
    hookimpl,
)
from retinue_workers.jobs import scheduler


class DiskOptions(DetectorOptions):
    folder: Annotated[str, Operational()]
    latency_seconds: Annotated[float, Operational()] = 0.1


class DiskVideos(JobDetector[DiskOptions]):
    """Starts one job, a file, for each token. A job ends at the second look."""

    name: ClassVar[str] = "disk-videos"
    version: ClassVar[str] = "1"
    capabilities = Capabilities(
        Input.REFERENCE, usd_per_unit=Decimal("0.10"), max_jobs=5, job_group="disk"
    )

    def units(self, video: Video) -> Decimal:
        return Decimal(1)

    async def start_job(self, video: Video, *, token: str, tag: str) -> str:
        await asyncio.sleep(self.options.latency_seconds)
        os.close(os.open(self._job(token), os.O_CREAT))
        await asyncio.sleep(self.options.latency_seconds)
        return token

    async def job_result(self, job_id: str, video: Video) -> Findings | None:
        await asyncio.sleep(self.options.latency_seconds)
        looks = self._job(job_id).stat().st_size
        with self._job(job_id).open("ab") as job:
            job.write(b"x")
        if not looks:
            return None
        dog = Detection("label", "Dog", 0.9, start_ms=0, end_ms=video.duration_ms or 0)
        return Findings((dog,), billed_units=Decimal(1))

    def _job(self, token: str) -> Path:
        return Path(self.options.folder, token)


_Intervals = scheduler.Intervals
scheduler.Intervals = lambda: _Intervals(poll=0.1, first_look=0.2, look=0.2, retry=0.2, lease=2.0)  # type: ignore[assignment,misc]


@hookimpl
def retinue_register_detectors(register: Callable[[Any], None]) -> None:
    register(DiskVideos)
