"""A large history, made up: ``PYTHONPATH=tests python -m benchmarks.generate_history URL``.

The same seed makes the same rows. Labels are skewed as in photographs (Zipf: the second is half as
frequent as the first), six months run up to a given day, three detectors look at each image, the
models change in between, a fifth of an OCR detector's runs read words, some runs fail, and some
find nothing. Rows go in by COPY, count_detections() counts them, and ``retinue maintain`` runs at
the end, as it does each night.

``--videos`` adds videos to the same months, with 200 appearances each. Their labels are their own,
so that questions about images have the same answers with and without them.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

import psycopg
from retinue_history.db.engine import create_history_engine
from retinue_history.upkeep.maintenance import Retention, maintain

DAYS = 180
_CHUNK = 20_000  # images a transaction
_APPEARANCES = 200  # a video

_WORDS = [
    "invoice",
    "total",
    "date",
    "number",
    "street",
    "city",
    "open",
    "closed",
    "exit",
    "sale",
    "price",
    "menu",
    "coffee",
    "bread",
    "stop",
    "speed",
    "limit",
    "hotel",
    "taxi",
    "bus",
    "station",
    "platform",
    "gate",
    "ticket",
    "welcome",
    "private",
    "parking",
    "fire",
    "police",
]


_IMAGES = (
    "images (image_id, bucket, key, version, versioned, uploaded_at, last_uploaded_at, width_px, "
    "height_px)"
)
_RUNS = (
    "runs (run_id, image_id, detector, detector_version, fingerprint, event_id, outcome, "
    "retryable, error_code, error_message, model_version, started_at, duration_ms, "
    "detection_count, billed_units, price_usd)"
)
_DETECTIONS = (
    "detections (detection_id, run_id, image_id, ordinal, kind, label, confidence, box_left, "
    "box_top, box_width, box_height, detected_at, start_ms, end_ms, track)"
)
_VIDEOS = "videos (image_id, duration_ms, frame_rate, codec, container, rotation_degrees)"


_COUNT = """
    SELECT count_detections(
        array_agg(number), array_agg(started_at), array_agg(detector), array_agg(detector_version),
        array_agg(model_version), array_agg(kind), array_agg(label), array_agg(confidence),
        array_agg(attributes)
    )
    FROM (
        SELECT
            row_number() OVER ()::int AS number, runs.started_at, detector, detector_version,
            model_version, kind, label, confidence, attributes
        FROM detections JOIN runs ON runs.run_id = detections.run_id
        WHERE detection_id > %s
    ) AS added
"""


@dataclass(frozen=True, slots=True)
class Model:
    """A detector of the made-up history.

    Attributes:
        detector: Its name.
        kind: What it finds.
        labels: What it can find, the most frequent first.
        per_image: How many detections it makes on average.
        share: On which share of the images it ran.
    """

    detector: str
    kind: str
    labels: tuple[str, ...]
    per_image: float
    share: float


MODELS = (
    Model("objects", "label", tuple(f"object {n:02}" for n in range(80)), 5.0, 1.0),
    Model("scenes", "label", tuple(f"scene {n:03}" for n in range(400)), 4.0, 1.0),
    Model("words", "text", (), 5.0, 0.2),
)


def generate(
    url: str,
    *,
    detections: int,
    until: datetime,
    appearances: int = 0,
    seed: int = 1,
    tell: bool = False,
) -> int:
    """Fill a migrated, empty history; returns how many images it has.

    Args:
        url: The database, as its owner.
        detections: About how many to make, at least 10.
        until: The last moment; the first is 180 days before.
        appearances: About how many detections in videos to make beside them.
        seed: Other seeds make other histories.
        tell: Whether to print progress.
    """
    images = round(detections / sum(model.per_image * model.share for model in MODELS))
    videos = appearances // _APPEARANCES
    random_numbers = random.Random(seed)
    weights = {model.detector: [1 / (n + 1) for n in range(len(model.labels))] for model in MODELS}
    began = time.monotonic()
    with psycopg.connect(url, autocommit=True) as connection:
        # as in record_runs(); labels.sql says why
        connection.execute("SET plan_cache_mode = force_generic_plan")
        connection.execute("SET synchronous_commit = off")
        _add_months(connection, until)
        run_id = detection_id = 0
        for first in range(0, images, _CHUNK):
            rows = _Rows(random_numbers, weights, run_id, detection_id)
            last = min(first + _CHUNK, images)
            for number in range(first, last):
                rows.add(number, until - timedelta(days=DAYS * (1 - (number + 1) / images)), images)
            for number in range(first * videos // images, last * videos // images):
                rows.add_video(number, until - timedelta(days=DAYS * (1 - (number + 1) / videos)))
            with connection.transaction():
                _copy(connection, rows)
                connection.execute(_COUNT, (detection_id,))
            run_id, detection_id = rows.run_id, rows.detection_id
            if tell:
                seconds = time.monotonic() - began
                print(f"{detection_id:>12,} detections, {seconds:.0f} s", flush=True)  # noqa: T201
        for table, column in (("runs", "run_id"), ("detections", "detection_id")):
            connection.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), max({column}))"
                f" FROM {table}"
            )
        maintain(create_history_engine(url), Retention(), tell=lambda line: None)
        connection.execute("VACUUM ANALYZE")
    return images


def image_id(number: int) -> UUID:
    """Return the id of the image with this number; ``photos``, ``0000000.jpg``, version ``v``."""
    return _image_id(_key(number))


def _image_id(key: str) -> UUID:
    digest = bytearray(sha256(f"photos\nv\n{key}".encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))


def _key(number: int) -> str:
    return f"{number // 10_000:04}/{number:08}.jpg"


class _Rows:
    """The rows of one transaction."""

    def __init__(
        self,
        random_numbers: random.Random,
        weights: dict[str, list[float]],
        run_id: int,
        detection_id: int,
    ) -> None:
        self.images: list[str] = []
        self.runs: list[str] = []
        self.detections: list[str] = []
        self.videos: list[str] = []
        self.run_id = run_id
        self.detection_id = detection_id
        self._random = random_numbers
        self._weights = weights

    def add(self, number: int, when: datetime, of: int) -> None:
        """Add an image with its runs and their detections."""
        name = str(image_id(number))
        uploaded_at = when.isoformat()
        self.images.append(
            f"{name}\tphotos\t{_key(number)}\tv\tt\t{uploaded_at}\t{uploaded_at}\t1920\t1080\n"
        )
        for place, model in enumerate(MODELS):
            chance = self._random.random()
            if chance >= model.share:
                continue
            self.run_id += 1
            started_at = (when + timedelta(seconds=place + 1)).isoformat()
            failed = chance < 0.002
            found = 0 if failed else max(0, round(self._random.gauss(model.per_image, 1.5)))
            version = "1" if number < of * 2 // 3 else "2"
            tail = "failed\tt\ttimeout\tno answer" if failed else "succeeded\tf\t\\N\t\\N"
            self.runs.append(
                f"{self.run_id}\t{name}\t{model.detector}\t{version}\tf{version}\te{number}\t"
                f"{tail}\tm{version}\t{started_at}\t25\t{found}\t1\t0.001\n"
            )
            for ordinal, label in enumerate(self._labels(model, found)):
                self.detection_id += 1
                left, top = self._random.random() * 0.8, self._random.random() * 0.8
                self.detections.append(
                    f"{self.detection_id}\t{self.run_id}\t{name}\t{ordinal}\t{model.kind}\t{label}"
                    f"\t{self._random.betavariate(5, 2):.4f}\t{left:.4f}\t{top:.4f}\t0.2\t0.15\t"
                    f"{started_at}\t\\N\t\\N\t\\N\n"
                )

    def add_video(self, number: int, when: datetime) -> None:
        """Add a video of ten minutes with its run and appearances."""
        key = f"videos/{number:08}.mp4"
        name, at = _image_id(key), when.isoformat()
        self.images.append(f"{name}\tphotos\t{key}\tv\tt\t{at}\t{at}\t1920\t1080\n")
        self.videos.append(f"{name}\t600000\t25\th264\tmp4\t0\n")
        self.run_id += 1
        self.runs.append(
            f"{self.run_id}\t{name}\tvideo\t1\tf1\tv{number}\tsucceeded\tf\t\\N\t\\N\tm1\t{at}\t"
            f"60000\t{_APPEARANCES}\t10\t1\n"
        )
        for ordinal in range(_APPEARANCES):
            self.detection_id += 1
            start_ms = ordinal * 600_000 // _APPEARANCES
            self.detections.append(
                f"{self.detection_id}\t{self.run_id}\t{name}\t{ordinal}\tlabel\t"
                f"in video {(number + ordinal) % 80:02}\t{(number + ordinal) % 97 / 97:.4f}\t"
                f"0.1\t0.1\t0.2\t0.15\t{at}\t{start_ms}\t{start_ms + 5000}\t{ordinal // 2}\n"
            )

    def _labels(self, model: Model, count: int) -> Iterator[str]:
        if model.labels:
            yield from self._random.choices(
                model.labels, weights=self._weights[model.detector], k=count
            )
            return
        for _ in range(count):
            yield f"{' '.join(self._random.sample(_WORDS, 2))} {self._random.randrange(100_000)}"


def _add_months(connection: psycopg.Connection, until: datetime) -> None:
    month = (until - timedelta(days=DAYS)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while month <= until:
        following = (month + timedelta(days=32)).replace(day=1)
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS detections_{month:%Y_%m} PARTITION OF detections "
            f"FOR VALUES FROM ('{month.isoformat()}') TO ('{following.isoformat()}')"
        )
        month = following


def _copy(connection: psycopg.Connection, rows: _Rows) -> None:
    for columns, lines in (
        (_IMAGES, rows.images),
        (_VIDEOS, rows.videos),
        (_RUNS, rows.runs),
        (_DETECTIONS, rows.detections),
    ):
        with connection.cursor().copy(f"COPY {columns} FROM STDIN") as copy:
            for line in lines:
                copy.write(line)


def main() -> None:
    """Read the arguments, and generate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--detections", type=int, default=10_000_000)
    parser.add_argument("--videos", type=int, default=0, help="appearances in videos beside them")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    images = generate(
        given.url,
        detections=given.detections,
        until=datetime.now(UTC),
        appearances=given.videos,
        seed=given.seed,
        tell=True,
    )
    sys.stdout.write(f"{images:,} images\n")


if __name__ == "__main__":
    main()
