"""Videos, and the jobs of services that process them."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)

from retinue_history.schema.tables.base import metadata, timestamp

videos = Table(
    "videos",
    metadata,
    Column(
        "image_id",
        ForeignKey("images.image_id", ondelete="CASCADE"),
        primary_key=True,
        comment="The image whose object is a video",
    ),
    Column("duration_ms", BigInteger, comment="Its duration in milliseconds; null if not known"),
    Column("frame_rate", Double, comment="Mean number of frames a second; null if not known"),
    Column("codec", Text, comment="The codec of the video track: h264, hevc, …; null if not known"),
    Column("container", Text, comment="The container: mp4, mov, …; null if not known"),
    Column(
        "rotation_degrees",
        Integer,
        nullable=False,
        comment="Clockwise rotation for display: 0, 90, 180 or 270",
    ),
    Column(
        "recorded_at",
        timestamp,
        nullable=False,
        server_default=func.now(),
        comment="When this row was written",
    ),
    CheckConstraint("duration_ms >= 0", name="duration_ms"),
    CheckConstraint("frame_rate > 0 AND frame_rate < 'Infinity'", name="frame_rate"),
    CheckConstraint("rotation_degrees IN (0, 90, 180, 270)", name="rotation_degrees"),
    comment="One row per image that is a video, with the facts of its header. Width and height are "
    "in images",
)

jobs = Table(
    "jobs",
    metadata,
    Column(
        "job_id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Row number",
    ),
    Column(
        "image_id",
        ForeignKey("images.image_id", ondelete="CASCADE"),
        nullable=False,
        comment="The video to process",
    ),
    Column("detector", Text, nullable=False, comment="The detector's name"),
    Column("detector_version", Text, nullable=False, comment="The detector's version"),
    Column(
        "fingerprint",
        Text,
        nullable=False,
        comment="Digest of the detector's options and of the model they name, as in runs",
    ),
    Column(
        "event_id",
        Text,
        nullable=False,
        comment="The event that requested the job, as in its run",
    ),
    Column(
        "job_group",
        Text,
        nullable=False,
        comment="Jobs of one group are counted together against the service's limit",
    ),
    Column(
        "earlier_failures",
        Integer,
        nullable=False,
        comment="How many runs of the run key had failed when the job was asked for",
    ),
    Column(
        "attempt",
        Integer,
        nullable=False,
        server_default=text("1"),
        comment="Which attempt at this job it is, from 1",
    ),
    Column(
        "token",
        Text,
        nullable=False,
        comment="job_token() of the attempt: a service starts one job for a token",
    ),
    Column(
        "provider_job_id", Text, comment="The service's id of the job; null until it is started"
    ),
    Column("billing_group", Text, comment="Group of calls that the provider counts together"),
    Column("expected_units", Numeric, comment="Units that the provider will bill, by an estimate"),
    Column("expected_usd", Numeric, comment="Their expected price in US dollars"),
    Column(
        "billed_units",
        Numeric,
        nullable=False,
        server_default=text("0"),
        comment="Units billed for failed attempts and calls so far. The run will include them",
    ),
    Column(
        "wanted_at",
        timestamp,
        nullable=False,
        server_default=func.now(),
        comment="When it was asked for",
    ),
    Column(
        "reserved_at",
        timestamp,
        comment="When this attempt took one of the service's slots and of the budget; null before",
    ),
    Column("started_at", timestamp, comment="When the service was seen to have it; null before"),
    Column(
        "hinted_at",
        timestamp,
        comment="When the service last sent a message about this attempt; null if it never did",
    ),
    Column(
        "look_at",
        timestamp,
        nullable=False,
        server_default=func.now(),
        comment="When a worker should start it or ask for its result",
    ),
    Column("holder", Text, comment="The worker that has claimed it; null if none has"),
    Column(
        "fence",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="How often it was claimed. A worker may change the job while this is its claim",
    ),
    Column("claimed_at", timestamp, comment="When it was last claimed"),
    Column("lease_until", timestamp, comment="When another worker may claim it; null: at look_at"),
    Column("problem", Text, comment="Why the last attempt or look led to nothing; null if it did"),
    UniqueConstraint("image_id", "detector", "detector_version", "fingerprint"),
    UniqueConstraint("token"),
    CheckConstraint(
        "token = job_token(image_id, detector, detector_version, fingerprint, earlier_failures, "
        "attempt)",
        name="token",
    ),
    CheckConstraint("attempt >= 1", name="attempt"),
    CheckConstraint("num_nulls(provider_job_id, started_at) IN (0, 2)", name="started"),
    CheckConstraint(
        "CASE WHEN reserved_at IS NULL THEN provider_job_id IS NULL "
        "ELSE num_nulls(billing_group, expected_units, expected_usd) = 0 END",
        name="reserved",
    ),
    CheckConstraint(
        "num_nulls(billing_group, expected_units, expected_usd) IN (0, 3)", name="expected"
    ),
    CheckConstraint("expected_units >= 0 AND expected_units < 'Infinity'", name="expected_units"),
    CheckConstraint("expected_usd >= 0 AND expected_usd < 'Infinity'", name="expected_usd"),
    CheckConstraint("billed_units >= 0 AND billed_units < 'Infinity'", name="billed_units"),
    CheckConstraint("num_nulls(holder, lease_until) IN (0, 2)", name="lease"),
    Index(
        "ix_jobs_due",
        "detector",
        "detector_version",
        "fingerprint",
        text("(reserved_at IS NULL)"),
        "look_at",
    ),
    Index("ix_jobs_slots", "job_group", postgresql_where=text("reserved_at IS NOT NULL")),
    Index(None, "provider_job_id", postgresql_where=text("provider_job_id IS NOT NULL")),
    comment="One row per open job: a video that a service processes, or will. A job's run replaces "
    "it",
)
