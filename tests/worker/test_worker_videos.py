"""A worker with videos: from the upload to rows with a time."""

import errno
import os
import sys
import tempfile
from threading import Lock
from typing import Any

import pytest
from fakes.rig import MakeRig
from fakes.videos import BIKES
from retinue_sdk import ConfigurationError

VIDEO = {"pixels": {"every_ms": 2_000, "max_side_px": 320}}


def test_a_video_becomes_rows(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.upload("rides/bikes.mp4", BIKES.read_bytes())
    rig.upload("rides/broken.mp4", BIKES.read_bytes()[:200_000])
    rig.work_off({"pixels": {}, "bytes": {}}, video=VIDEO)
    assert rig.runs() == [
        ("rides/bikes.mp4", "pixels", "succeeded", None),
        ("rides/broken.mp4", "pixels", "failed", "corrupt_video"),
    ]
    [row] = rig.rows("SELECT label, start_ms, end_ms, track FROM detections")
    assert row == {"label": "320x136", "start_ms": 0, "end_ms": 8_000, "track": None}
    [row] = rig.rows(
        "SELECT width_px, height_px, duration_ms, frame_rate, codec, container, rotation_degrees "
        "FROM videos JOIN images USING (image_id)"
    )
    assert row == {
        "width_px": 640,
        "height_px": 272,
        "duration_ms": 10_000,
        "frame_rate": 25.0,
        "codec": "h264",
        "container": "mp4",
        "rotation_degrees": 0,
    }
    rows = rig.rows("SELECT options FROM detector_configurations WHERE options ? 'video'")
    assert [row["options"]["video"]["every_ms"] for row in rows] == [2_000]
    used = rig.rows(
        "SELECT detector, media FROM configurations_in_use WHERE pool = %s ORDER BY 1, 2",
        rig.queue.arn,
    )
    assert [tuple(row.values()) for row in used] == [
        ("bytes", "image"),
        ("pixels", "image"),
        ("pixels", "video"),
    ]
    assert rig.rows("SELECT count(*) FROM latest_runs") == [{"count": 1}]


class SmallDisk:
    """Makes temporary files while there is space."""

    def __init__(self, size_bytes: int) -> None:
        self.free_bytes = size_bytes
        self.lock = Lock()
        self.was_full = False

    def take(self, number: int) -> None:
        with self.lock:
            if number > self.free_bytes:
                self.was_full = True
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.free_bytes -= number

    def file(self, **options: Any) -> "FileOnDisk":
        return FileOnDisk(self, tempfile.NamedTemporaryFile(**options))


class FileOnDisk:
    """A file that takes space until it is closed."""

    def __init__(self, disk: SmallDisk, file: Any) -> None:
        self._disk = disk
        self._file = file
        self._taken = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        self._disk.take(len(data))
        self._taken += len(data)
        return int(self._file.write(data))

    def close(self) -> None:
        self._disk.take(-self._taken)
        self._taken = 0
        self._file.close()


def test_videos_that_dont_fit_on_the_disk_together_wait_for_each_other(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig()
    data = BIKES.read_bytes()
    disk = SmallDisk(len(data) * 3 // 2)
    monkeypatch.setattr("retinue_workers.dispatch.video_frames.tempfile.TemporaryFile", disk.file)
    for number in range(4):
        rig.upload(f"{number}.mp4", data + bytes(number))
        rig.upload(f"{number}.jpg")
    rig.work_off({"pixels": {}}, video=VIDEO, within_seconds=60)
    assert disk.was_full
    runs = {key: outcome for key, _, outcome, _ in rig.runs()}
    assert [runs[f"{number}.mp4"] for number in range(4)] == ["succeeded"] * 4
    assert disk.free_bytes == len(data) * 3 // 2


def test_only_detectors_of_pixels_take_videos(make_rig: MakeRig) -> None:
    worker = make_rig().worker({"bytes": {}}, video={"bytes": {}})
    with pytest.raises(ConfigurationError, match=r"RETINUE_VIDEO\[bytes\]"):
        worker.start()


@pytest.mark.parametrize(("module", "extra"), [("av", "video"), ("norfair", "tracking")])
def test_a_worker_without_the_extra_says_what_to_install(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    worker = make_rig().worker({"pixels": {}}, video={"pixels": {"track": True}})
    with pytest.raises(ConfigurationError, match=rf"package {module}: .*workers\[{extra}\]"):
        worker.start()
