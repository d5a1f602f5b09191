"""Answers of people about images, and the ground truth that follows from it."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from retinue_history.schema.tables.base import metadata, timestamp


def _image(*, index: bool = True) -> Column[Any]:
    """Return the image, with which everything that was said of it goes."""
    return Column(
        "image_id",
        ForeignKey("images.image_id", ondelete="CASCADE"),
        nullable=False,
        index=index,
        comment="The image",
    )


def _scope() -> tuple[Column[Any], Column[Any], Column[Any]]:
    """Return the columns that define the meaning of absence."""
    return (
        Column("scope_kinds", ARRAY(Text), comment="The kinds that were looked for; null: all"),
        Column("scope_labels", ARRAY(Text), comment="The labels that were looked for; null: all"),
        Column(
            "exhaustive",
            Boolean,
            nullable=False,
            comment="Whether everything within the scope is marked. If not, what is not marked "
            "is unknown",
        ),
    )


def _thing() -> tuple[Column[Any], ...]:
    """Return a thing in an image."""
    return (
        Column("kind", Text, nullable=False, comment="The kind of thing: label, face, text, …"),
        Column("label", Text, nullable=False, comment="Its name"),
        Column(
            "box_left",
            Double,
            comment="Left edge of the bounding box as a ratio of the displayed image's width; "
            "null if the whole image is meant",
        ),
        Column("box_top", Double, comment="Top edge as a ratio of the displayed image's height"),
        Column("box_width", Double, comment="Width as a ratio of the displayed image's width"),
        Column("box_height", Double, comment="Height as a ratio of the displayed image's height"),
        Column(
            "attributes",
            JSONB,
            nullable=False,
            server_default=text("'{}'"),
            comment="Everything else that is known of it",
        ),
    )


def _thing_checks() -> tuple[CheckConstraint, ...]:
    return (
        CheckConstraint("ordinal >= 0", name="ordinal"),
        CheckConstraint("octet_length(label) BETWEEN 1 AND 2048", name="label"),
        CheckConstraint(
            "num_nulls(box_left, box_top, box_width, box_height) IN (0, 4)", name="whole_box"
        ),
        CheckConstraint(
            "box_left > '-Infinity' AND box_left < 'Infinity' "
            "AND box_top > '-Infinity' AND box_top < 'Infinity' "
            "AND box_width >= 0 AND box_width < 'Infinity' "
            "AND box_height >= 0 AND box_height < 'Infinity'",
            name="box",
        ),
    )


truths = Table(
    "truths",
    metadata,
    Column("truth_id", BigInteger, Identity(always=True), primary_key=True, comment="Row number"),
    _image(index=False),
    Column(
        "name",
        Text,
        nullable=False,
        index=True,
        comment="Which truth: the name of an import, or of the queue that people answered",
    ),
    Column("source", Text, nullable=False, comment="import or review"),
    *_scope(),
    Column(
        "made_by",
        Text,
        nullable=False,
        comment="people; bulk, if a decision about many images decided it; or machine, by an "
        "imported file",
    ),
    Column(
        "propensity",
        Double,
        comment="The chance that this image had of being drawn at random; null if it was chosen "
        "for what it shows. Only drawn images give unbiased metrics",
    ),
    Column("digest", Text, comment="Digest of the imported file's content; null for reviews"),
    Column(
        "settled_at",
        timestamp,
        nullable=False,
        server_default=func.now(),
        comment="When it was imported, or when the answers agreed",
    ),
    UniqueConstraint("image_id", "name"),
    CheckConstraint("source IN ('import', 'review')", name="source"),
    CheckConstraint("made_by IN ('people', 'bulk', 'machine')", name="made_by"),
    CheckConstraint("propensity > 0 AND propensity <= 1", name="propensity"),
    comment="One row per image and settled ground truth; kept when detections are dropped",
)

truth_items = Table(
    "truth_items",
    metadata,
    Column(
        "truth_id",
        ForeignKey("truths.truth_id", ondelete="CASCADE"),
        primary_key=True,
        comment="The truth",
    ),
    Column(
        "ordinal",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="Position in the truth, from 0",
    ),
    Column(
        "present",
        Boolean,
        nullable=False,
        server_default=text("true"),
        comment="False: it was shown to people, and they said that it isn't there",
    ),
    Column(
        "confidence",
        Double,
        nullable=False,
        server_default=text("1"),
        comment="Its confidence, 0 to 1; below 1 only if an imported file has one",
    ),
    *_thing(),
    CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
    *_thing_checks(),
    Index(None, "label", "kind"),
    comment="Things that are in an image, and things that are not, by a settled truth",
)

review_queues = Table(
    "review_queues",
    metadata,
    Column("queue_id", BigInteger, Identity(always=True), primary_key=True, comment="Row number"),
    Column(
        "name",
        Text,
        nullable=False,
        unique=True,
        comment="Its name, and that of the truth that its answers settle",
    ),
    Column(
        "strategy",
        Text,
        nullable=False,
        comment="How its images were chosen: uncertain, disagreement, drift, rare, random, or "
        "corrections, which takes any image that people correct",
    ),
    Column(
        "selection",
        JSONB,
        nullable=False,
        server_default=text("'{}'"),
        comment="From which images they were chosen",
    ),
    Column("scope_kinds", ARRAY(Text), comment="The kinds to look for; null: all"),
    Column("scope_labels", ARRAY(Text), comment="The labels to look for; null: all"),
    Column("detectors", ARRAY(Text), comment="Whose findings are shown; null: all detectors'"),
    Column("overlap", Integer, nullable=False, comment="How many people answer each image"),
    Column(
        "blind", Boolean, nullable=False, comment="Whether people see no detector's findings first"
    ),
    Column("gold", Text, comment="The truth of the gold images, to test people with; null: none"),
    Column(
        "created_at", timestamp, nullable=False, server_default=func.now(), comment="When it began"
    ),
    Column("created_by", Text, nullable=False, comment="The login of the person who made it"),
    Column("closed_at", timestamp, comment="When it was closed; null while it is open"),
    CheckConstraint("char_length(name) BETWEEN 1 AND 200", name="name"),
    CheckConstraint("overlap BETWEEN 1 AND 20", name="overlap"),
    CheckConstraint(
        "strategy IN ('uncertain', 'disagreement', 'drift', 'rare', 'random', 'corrections')",
        name="strategy",
    ),
    comment="Queues of images that people answer",
)

review_images = Table(
    "review_images",
    metadata,
    Column("queue_id", ForeignKey("review_queues.queue_id"), primary_key=True, comment="The queue"),
    Column(
        "image_id",
        ForeignKey("images.image_id", ondelete="CASCADE"),
        primary_key=True,
        index=True,
        comment="The image",
    ),
    Column("place", BigInteger, nullable=False, comment="Its place in the queue"),
    Column(
        "role",
        Text,
        nullable=False,
        comment="chosen by the strategy; audit, drawn at random; or gold, whose truth is known",
    ),
    Column("propensity", Double, comment="The chance with which it was drawn; null unless audit"),
    Column(
        "wanted",
        Integer,
        nullable=False,
        comment="How many people are to answer: the queue's overlap, and one more if they disagree",
    ),
    Column(
        "state",
        Text,
        nullable=False,
        server_default=text("'open'"),
        comment="open; settled; or disputed, which an adjudicator settles",
    ),
    CheckConstraint("role IN ('chosen', 'audit', 'gold')", name="role"),
    CheckConstraint("propensity > 0 AND propensity <= 1", name="propensity"),
    CheckConstraint("state IN ('open', 'settled', 'disputed')", name="state"),
    Index(
        "ix_review_images_next",
        "queue_id",
        "state",
        "place",
        postgresql_where=text("state <> 'settled'"),
    ),
    comment="The images of each queue",
)

review_leases = Table(
    "review_leases",
    metadata,
    Column(
        "lease_id",
        Uuid,
        primary_key=True,
        server_default=text("gen_random_uuid()"),
        comment="The lease",
    ),
    Column("queue_id", BigInteger, nullable=False, comment="The queue"),
    Column("image_id", Uuid, nullable=False, comment="The image"),
    Column("person", Text, nullable=False, comment="The login of the person who has it"),
    Column("expires_at", timestamp, nullable=False, comment="Until when others do not get it"),
    UniqueConstraint("queue_id", "image_id", "person"),
    ForeignKeyConstraint(
        ["queue_id", "image_id"],
        ["review_images.queue_id", "review_images.image_id"],
        ondelete="CASCADE",
    ),
    Index(None, "queue_id", "person"),
    comment="The images that people work on. A row is deleted when it is answered or returned",
)

answers = Table(
    "answers",
    metadata,
    Column("answer_id", BigInteger, Identity(always=True), primary_key=True, comment="Row number"),
    Column("queue_id", ForeignKey("review_queues.queue_id"), nullable=False, comment="The queue"),
    _image(),
    Column("person", Text, nullable=False, comment="The login of the person who answered"),
    Column(
        "verdict",
        Text,
        nullable=False,
        comment="answered; skipped; or undone, which takes an earlier answer back",
    ),
    Column(
        "undoes",
        ForeignKey("answers.answer_id", ondelete="CASCADE"),
        unique=True,
        comment="The answer that this row takes back; null unless undone",
    ),
    *_scope(),
    Column(
        "adjudicates",
        Boolean,
        nullable=False,
        comment="Whether it settles the image alone, after others disagreed",
    ),
    Column("bulk_id", Uuid, comment="The decision about many images that it is part of; or null"),
    Column("seconds", Double, comment="How long the person looked at the image; null if unknown"),
    Column(
        "late",
        Boolean,
        nullable=False,
        comment="Whether the person's lease had ended when the answer came",
    ),
    Column("key", Uuid, nullable=False, unique=True, comment="Idempotency key: one save, one row"),
    Column("digest", LargeBinary, nullable=False, comment="Digest of the request that had the key"),
    Column(
        "answered_at", timestamp, nullable=False, server_default=func.now(), comment="When it came"
    ),
    CheckConstraint("verdict IN ('answered', 'skipped', 'undone')", name="verdict"),
    CheckConstraint("(verdict = 'undone') = (undoes IS NOT NULL)", name="undoes"),
    CheckConstraint("person <> ''", name="person"),
    CheckConstraint("seconds >= 0 AND seconds < 'Infinity'", name="seconds"),
    Index(None, "queue_id", "image_id", "person"),
    Index(None, "bulk_id", postgresql_where=text("bulk_id IS NOT NULL")),
    comment="Answers of people about images. Rows are only added: a person's "
    "newest row that isn't undone counts",
)

answer_items = Table(
    "answer_items",
    metadata,
    Column(
        "answer_id",
        ForeignKey("answers.answer_id", ondelete="CASCADE"),
        primary_key=True,
        comment="The answer",
    ),
    Column(
        "ordinal",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="Position in the answer, from 0",
    ),
    Column(
        "decision",
        Text,
        nullable=False,
        comment="accept, reject, change (another label or box), add (nothing was shown) or unsure",
    ),
    Column(
        "shown",
        JSONB,
        comment="A copy of the finding that was shown: run, detector, versions, kind, label, "
        "confidence and box. Null if the person added it",
    ),
    *_thing(),
    CheckConstraint("decision IN ('accept', 'reject', 'change', 'add', 'unsure')", name="decision"),
    CheckConstraint("(decision = 'add') = (shown IS NULL)", name="shown"),
    *_thing_checks(),
    comment="Each thing of an answer, as the person judged it; a rejected one as it was shown",
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("entry_id", BigInteger, Identity(always=True), primary_key=True, comment="Row number"),
    Column(
        "acted_at", timestamp, nullable=False, server_default=func.now(), comment="When it was done"
    ),
    Column("person", Text, nullable=False, comment="The login of the person who did it"),
    Column("act", Text, nullable=False, comment="The act, such as answer_saved"),
    Column("queue", Text, comment="The queue's name; null if it concerns none"),
    Column("image_id", Uuid, index=True, comment="The image; null if none, or if it was erased"),
    Column(
        "detail",
        JSONB,
        nullable=False,
        server_default=text("'{}'"),
        comment="Further ids and numbers; no names of things or people",
    ),
    CheckConstraint("act <> '' AND person <> ''", name="named"),
    comment="The acts of people, in order. Rows are only added",
)
