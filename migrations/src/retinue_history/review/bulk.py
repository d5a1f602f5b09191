"""One decision about many images: previewed, marked as such, and undone as one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID, uuid4, uuid5

from retinue_history.db.connections import Connection
from retinue_history.db.error_mapping import map_errors
from retinue_history.db.errors import HistoryDataError
from retinue_history.review.answer import Answer, AnswerItem, Shown
from retinue_history.review.answers import (
    answers_to_images,
    findings_by_image,
    save_answer,
    undo,
)
from retinue_history.review.matching import match
from retinue_history.review.truth import Scope

MAX_IMAGES = 2_000
"""Maximum number of images of one decision, which is one transaction."""


@dataclass(frozen=True, slots=True)
class BulkAct:
    """A decision about every finding of a label in some images.

    Attributes:
        queue: The queue's name.
        images: The images.
        decision: accept, reject or change.
        kind: The kind of findings.
        label: Their label.
        to_label: For ``change``, the new label.
        detector: Only this detector's findings.
        min_confidence: Only findings at least this sure.
        max_confidence: Only findings at most this sure.
    """

    queue: str
    images: tuple[UUID, ...]
    decision: Literal["accept", "reject", "change"]
    kind: str
    label: str
    to_label: str | None = None
    detector: str | None = None
    min_confidence: float = 0.0
    max_confidence: float = 1.0

    def __post_init__(self) -> None:
        """Refuse an act that makes no sense."""
        if (self.decision == "change") != (self.to_label is not None):
            raise ValueError("to_label needs the decision change, and the decision change needs it")
        if len(self.images) > MAX_IMAGES:
            raise ValueError(f"at most {MAX_IMAGES:,} images in one decision")


@dataclass(frozen=True, slots=True)
class BulkChange:
    """The effect of a decision on one image.

    Attributes:
        image_id: The image.
        findings: The findings that it changes.
        answer: The person's answer after the decision, including earlier items.
    """

    image_id: UUID
    findings: tuple[Shown, ...]
    answer: Answer


def preview_bulk(reader: Connection, act: BulkAct, person: str) -> list[BulkChange]:
    """Return the effect of a decision, image by image, and change nothing.

    Args:
        reader: A reader's connection.
        act: The decision.
        person: The login of the person who decides.

    Returns:
        The images that have such findings, in the order of the act.
    """
    detectors = None if act.detector is None else [act.detector]
    scope = Scope((act.kind,), (act.label,))
    found = findings_by_image(reader, act.images, scope, detectors)
    before = {
        one.image_id: one.answer
        for one in answers_to_images(reader, act.images, act.queue)
        if one.person == person and not one.skipped
    }
    changes = (
        _change(act, image_id, found[image_id], before.get(image_id, Answer((), False, scope)))
        for image_id in act.images
    )
    return [change for change in changes if change.findings]


def apply_bulk(
    reviewer: Connection,
    queue: str,
    changes: Sequence[BulkChange],
    person: str,
    *,
    bulk_id: UUID | None = None,
) -> UUID:
    """Save exactly the previewed changes, even if detectors have found more since.

    Args:
        reviewer: A reviewer's connection.
        queue: The act's queue.
        changes: From ``preview_bulk``.
        person: The login of the person who decides.
        bulk_id: Its id, and idempotency key; made if none is given.

    Returns:
        The id, for ``undo_bulk``.
    """
    bulk_id = bulk_id or uuid4()
    with map_errors(), reviewer.transaction():
        for change in sorted(changes, key=lambda one: one.image_id):  # the order of all locks
            save_answer(
                reviewer,
                queue,
                change.image_id,
                person,
                change.answer,
                key=uuid5(bulk_id, str(change.image_id)),
                bulk_id=bulk_id,
            )
    return bulk_id


def undo_bulk(
    reader: Connection, reviewer: Connection, queue: str, bulk_id: UUID, person: str
) -> int:
    """Undo a whole decision, so that earlier answers count again.

    Args:
        reader: A reader's connection.
        reviewer: A reviewer's connection.
        queue: The queue's name.
        bulk_id: The decision.
        person: The login of the person who made it.

    Returns:
        In how many images it was undone; 0 if it was before.

    Raises:
        HistoryDataError: The person made no such decision in the queue.
    """
    undone = 0
    with map_errors():
        rows = reader.execute(_OF_BULK, [bulk_id, person, queue]).fetchall()
        if not rows:
            raise HistoryDataError(f"{person} has made no decision {bulk_id} in {queue}")
        with reviewer.transaction():
            for answer_id, image_id in rows:
                key = uuid5(bulk_id, f"undo {answer_id}")
                undone += undo(reviewer, queue, image_id, person, answer_id, key=key)
    return undone


def _change(act: BulkAct, image_id: UUID, shown: Sequence[Shown], before: Answer) -> BulkChange:
    found = tuple(
        one for one in shown if act.min_confidence <= one.confidence <= act.max_confidence
    )
    kept = tuple(item for item in before.items if not _is_replaced(item, found))
    decided = tuple(_decide(act, one) for one in found)
    answer = replace(before, items=kept + decided, seconds=None, adjudicates=False)
    return BulkChange(image_id, found, answer)


def _is_replaced(item: AnswerItem, found: Sequence[Shown]) -> bool:
    """Return whether an earlier decision is about one of these findings.

    Or about one that they replaced: that of an earlier run of the same detector.
    """
    if item.shown is None:
        return False
    shown = item.shown
    if any(one.detection_id == shown.detection_id for one in found):
        return True
    newer = [one for one in found if one.detector == shown.detector and one.run_id > shown.run_id]
    return bool(match([shown], newer))


def _decide(act: BulkAct, shown: Shown) -> AnswerItem:
    label = shown.label if act.to_label is None else act.to_label
    attributes = {} if act.decision == "change" else shown.attributes
    return AnswerItem(act.decision, shown.kind, label, shown.box, shown, attributes)


_OF_BULK = """
    SELECT answers.answer_id, answers.image_id
    FROM answers
    JOIN review_queues USING (queue_id)
    WHERE answers.bulk_id = %s AND answers.person = %s AND answers.verdict = 'answered'
        AND review_queues.name = %s
    ORDER BY answers.image_id
"""
