"""Read the results of a run from the history."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal
from uuid import UUID

from retinue_history import DetectorConfiguration
from retinue_sdk import BoundingBox, Detection
from sqlalchemy import Engine, text

from retinue_cli.local.configurations import detector_columns


@dataclass(frozen=True, slots=True)
class Outcome:
    """The newest run of one detector on one image.

    Attributes:
        image_id: The image.
        detector: The detector's name.
        detector_version: The detector's version.
        model_version: The model's version, if any.
        outcome: ``succeeded``, ``failed`` or ``skipped``.
        error_code: The reason's code if it failed or was skipped.
        error_message: The reason as text.
        truncated: Whether the file ended early or was damaged, so that the detector saw a part.
        findings: Its findings: in a video by start, and otherwise most confident first.
        price_usd: Its cost in US dollars.
    """

    image_id: UUID
    detector: str
    detector_version: str
    model_version: str | None
    outcome: Literal["succeeded", "failed", "skipped"]
    error_code: str | None
    error_message: str | None
    truncated: bool
    findings: tuple[Detection, ...]
    price_usd: Decimal


def outcomes(
    engine: Engine, image_ids: Collection[UUID], detectors: Sequence[DetectorConfiguration]
) -> dict[tuple[UUID, str], Outcome]:
    """Return the newest run of each detector on each image, by image and detector."""
    parameters = {"image_id": list(image_ids), **detector_columns(detectors)}
    with engine.connect() as connection:
        runs = connection.execute(_RUNS, parameters).all()
        found: dict[int, list[Detection]] = {run.run_id: [] for run in runs}
        for row in connection.execute(_DETECTIONS, {"run_id": list(found)}):
            box = None
            if row.box_left is not None:
                box = BoundingBox(row.box_left, row.box_top, row.box_width, row.box_height)
            times = (row.start_ms, row.end_ms, row.track)
            found[row.run_id].append(
                Detection(row.kind, row.label, row.confidence, box, row.attributes, *times)
            )
    return {
        (run.image_id, run.detector): Outcome(
            image_id=run.image_id,
            detector=run.detector,
            detector_version=run.detector_version,
            model_version=run.model_version,
            outcome=run.outcome,
            error_code=run.error_code,
            error_message=run.error_message,
            truncated=run.truncated,
            findings=tuple(found[run.run_id]),
            price_usd=run.price_usd,
        )
        for run in runs
    }


def has_no_runs(engine: Engine) -> bool:
    """Return whether nothing has been recorded yet."""
    with engine.connect() as connection:
        return not connection.execute(text("SELECT EXISTS (SELECT FROM runs)")).scalar_one()


def forget_runs(
    engine: Engine, bucket: str, keys: Collection[str], detectors: Sequence[DetectorConfiguration]
) -> None:
    """Delete the detectors' runs on all uploads under the keys."""
    parameters = {"bucket": bucket, "key": list(keys), **detector_columns(detectors)}
    with engine.begin() as connection:
        connection.execute(_FORGET_RUNS, parameters)


_FORGET_RUNS = text(
    """
    DELETE FROM runs
    USING images, unnest(CAST(:detector AS text[]), CAST(:version AS text[]),
                         CAST(:fingerprint AS text[])) AS wanted (detector, version, fingerprint)
    WHERE images.image_id = runs.image_id
        AND images.bucket = :bucket
        AND images.key = ANY(CAST(:key AS text[]))
        AND (runs.detector, runs.detector_version, runs.fingerprint)
            = (wanted.detector, wanted.version, wanted.fingerprint)
    """
)

_RUNS = text(
    """
    SELECT DISTINCT ON (runs.image_id, runs.detector)
           runs.run_id, runs.image_id, runs.detector, runs.detector_version, runs.model_version,
           runs.outcome, runs.error_code, runs.error_message, runs.truncated, runs.price_usd
    FROM runs
    JOIN unnest(CAST(:detector AS text[]), CAST(:version AS text[]),
                CAST(:fingerprint AS text[])) AS wanted (detector, version, fingerprint)
        ON (runs.detector, runs.detector_version, runs.fingerprint)
           = (wanted.detector, wanted.version, wanted.fingerprint)
    WHERE runs.image_id = ANY(CAST(:image_id AS uuid[]))
    ORDER BY runs.image_id, runs.detector, runs.outcome = 'succeeded' DESC, runs.run_id DESC
    """
)

_DETECTIONS = text(
    """
    SELECT run_id, kind, label, confidence, attributes, box_left, box_top, box_width, box_height,
        start_ms, end_ms, track
    FROM detection_history
    WHERE run_id = ANY(CAST(:run_id AS bigint[]))
    ORDER BY run_id, start_ms, confidence DESC, ordinal
    """
)
