"""Write an archive of synthetic detections, with the writer of ``retinue maintain``."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc
from retinue_cli.data.archive.archive import Archive
from retinue_cli.data.archive.files import FileWriter, schema
from retinue_cli.data.archive.manifest import ArchivedFile
from retinue_cli.data.archive.place import Folder
from retinue_history.upkeep.maintenance import months_before

MONTHS = 12
END = datetime(2026, 1, 1, tzinfo=UTC)
CHUNK_ROWS = 500_000
_MONTH_US = 28 * 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class Detector:
    """What one detector finds.

    Attributes:
        name: The detector's name.
        kind: The kind of its detections.
        labels: Number of different labels. The first ones are the most frequent.
        groups: Average number of labels of an image.
        each: Number of detections that an image has of the same label.
        boxes: Whether detections have boxes.
    """

    name: str
    kind: str
    labels: int
    groups: int
    each: int
    boxes: bool


DETECTORS = (
    Detector("rekognition-labels", "label", 200, groups=10, each=1, boxes=False),
    Detector("onnx-objects", "object", 80, groups=5, each=4, boxes=True),
)
PER_IMAGE = sum(detector.groups * detector.each for detector in DETECTORS)


def generate(folder: Path, detections: int, tell: Callable[[str], None]) -> float | None:
    """Write about so many detections, in the months of 2025, and continue what was begun.

    Returns:
        How many rows the writer writes in a second of a processor; ``None`` if all were there.
    """
    archive = Archive.open_or_create(Folder(folder))
    archive.repair()
    done = {(file.detector, file.month) for file in archive.files}
    images = detections // (MONTHS * PER_IMAGE)
    left = [
        (str(folder), number, month, images)
        for month in range(MONTHS)
        for number, detector in enumerate(DETECTORS)
        if (detector.name, _month(month).strftime("%Y-%m")) not in done
    ]
    rows, seconds = 0, 0.0
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for files, took in pool.imap_unordered(_write, left):
            archive.publish(files, [])
            rows += sum(file.rows for file in files)
            seconds += took
            tell(f"{sum(file.rows for file in archive.files):,} detections")
    return rows / seconds if rows else None


def _month(number: int) -> datetime:
    return months_before(END, MONTHS - number)


def _write(part: tuple[str, int, int, int]) -> tuple[list[ArchivedFile], float]:
    """Write a detector's month. Return its files, and the writer's processor time."""
    folder, number, month, images = part
    archive, name = Archive.open(Folder(Path(folder))), DETECTORS[number].name
    seconds = 0.0
    with FileWriter(archive, name, f"{_month(month):%Y-%m}", uuid4()) as writer:
        for batch in _batches(number, month, images):
            began = time.process_time()
            writer.write(batch)
            seconds += time.process_time() - began
    return writer.files, seconds


def _batches(number: int, month: int, images: int) -> Iterator[Any]:
    """Yield the sorted detections of a detector in a month."""
    detector = DETECTORS[number]
    photos = np.random.default_rng(month)  # both detectors see the same images
    ids = _uuids(photos, images)
    versions = _texts(_hex(photos, images))
    cameras = pa.array(photos.integers(0, 97, images)).cast(pa.string())
    numbers = pa.array(np.arange(images)).cast(pa.string())
    paths = pc.binary_join_element_wise("camera-", cameras, "/", numbers, ".jpg", "")
    keys = paths.cast(pa.string())
    uploaded = np.sort(photos.integers(0, _MONTH_US // 1000, images)) * 1000
    uploaded += int(_month(month).timestamp()) * 1_000_000
    random = np.random.default_rng((month, number))
    detected = uploaded + random.integers(500_000, 30_000_000, images)
    groups = images * detector.groups
    limits = (groups * (np.arange(detector.labels + 1) / detector.labels) ** (1 / 3)).astype(int)
    for label in sorted(range(detector.labels), key=str):
        count = int(limits[label + 1] - limits[label])
        at = ((np.arange(count) + random.random(count)) * (images / count)).astype(int)
        at = np.repeat(at, detector.each)
        first = np.append(True, at[1:] != at[:-1])
        places = np.arange(len(at))
        repeated = places - np.maximum.accumulate(np.where(first, places, 0))
        # Rows are sorted by time.
        order = np.argsort(detected[at], kind="stable")
        at, repeated = at[order], repeated[order]
        for start in range(0, len(at), CHUNK_ROWS):
            chosen = at[start : start + CHUNK_ROWS]
            same = repeated[start : start + CHUNK_ROWS]
            rows = len(chosen)
            image = chosen + month * images
            known: dict[str, Any] = {
                "detection_id": ((image * 2 + number) * 256 + label) * 64 + same,
                "run_id": image * 2 + number,
                "image_id": ids.take(pa.array(chosen)),
                "key": keys.take(pa.array(chosen)),
                "version": versions.take(pa.array(chosen)),
                "ordinal": same + label % detector.groups,
                "confidence": random.integers(5_000, 10_000, rows) / 10_000,
                "detected_at": detected[chosen],
                "uploaded_at": uploaded[chosen],
            }
            same_in_all = {
                "bucket": "photos", "detector": detector.name, "detector_version": "1",
                "fingerprint": "f00d", "model_version": "3.0", "kind": detector.kind,
                "label": f"Label {label}", "attributes": "{}", "width_px": 1920, "height_px": 1080,
            }  # fmt: skip
            if detector.boxes:
                for side in ("box_left", "box_top", "box_width", "box_height"):
                    known[side] = random.integers(0, 5_000, rows) / 10_000
            columns = []
            for field in schema():
                if field.name in known:
                    columns.append(pa.array(known[field.name]).cast(field.type))
                elif field.name in same_in_all:
                    columns.append(pa.repeat(pa.scalar(same_in_all[field.name], field.type), rows))
                else:
                    columns.append(pa.nulls(rows, field.type))
            yield pa.record_batch(columns, schema=schema())


def _hex(random: np.random.Generator, rows: int) -> np.ndarray:
    """Return rows of 32 random hexadecimal digits."""
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    return digits[random.integers(0, 16, (rows, 32), np.uint8)]


def _uuids(random: np.random.Generator, rows: int) -> Any:
    digits = _hex(random, rows)
    for place in (8, 13, 18, 23):
        digits = np.insert(digits, place, ord("-"), axis=1)
    return _texts(digits)


def _texts(characters: np.ndarray) -> Any:
    """Return an array of texts from rows of characters."""
    rows, width = characters.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * width
    return pa.StringArray.from_buffers(
        rows, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(characters))
    )
