"""Images, removals, runs with their counts, detections, and the configurations of detectors."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from retinue_history.schema.tables.base import metadata, timestamp

images = Table(
    "images",
    metadata,
    Column(
        "image_id",
        Uuid,
        primary_key=True,
        comment="image_id(bucket, key, version): computable by anyone from the S3 identity",
    ),
    Column("bucket", Text, nullable=False, comment="The S3 bucket's name"),
    Column("key", Text, nullable=False, comment="The S3 object's key, decoded"),
    Column(
        "version",
        Text,
        nullable=False,
        comment="The S3 version id, or the ETag where the bucket is unversioned",
    ),
    Column(
        "versioned",
        Boolean,
        nullable=False,
        comment="Whether version is an S3 version id (not an ETag)",
    ),
    Column("etag", Text, comment="The object's ETag without quotes; null if not known"),
    Column("size_bytes", BigInteger, comment="The object's size in bytes; null if not known"),
    Column(
        "width_px",
        Integer,
        comment="Width in pixels as displayed, after EXIF orientation; "
        "null until a detector decoded it",
    ),
    Column(
        "height_px",
        Integer,
        comment="Height in pixels as displayed, after EXIF orientation; "
        "null until a detector decoded it",
    ),
    Column(
        "uploaded_at",
        timestamp,
        nullable=False,
        comment="When S3 first created this version (event time)",
    ),
    Column(
        "last_uploaded_at",
        timestamp,
        nullable=False,
        comment="When S3 last created it: later than uploaded_at if the same bytes came again "
        "into an unversioned bucket",
    ),
    Column(
        "uploaded_ats",
        ARRAY(timestamp),
        comment="Up to 100 times at which S3 created it; null if it has a version id, or was "
        "created once",
    ),
    Column(
        "sequencer",
        Text,
        comment="The highest S3 sequencer seen for this image's creation, by sequencer_rank()",
    ),
    Column(
        "first_seen_at",
        timestamp,
        nullable=False,
        server_default=func.now(),
        comment="When this row was written",
    ),
    Column(
        "deleted_at",
        timestamp,
        comment="When the object was removed, or found missing; null while it exists. "
        "Follows from the removals, in any order of their events",
    ),
    Column(
        "served_at",
        timestamp,
        comment="When a listing last showed this version as the current one of its key; removals "
        "until then do not count. Null if none did",
    ),
    CheckConstraint("image_id = image_id(bucket, key, version)", name="image_id"),
    CheckConstraint("version <> ''", name="version"),
    CheckConstraint("size_bytes >= 0", name="size_bytes"),
    CheckConstraint("num_nulls(width_px, height_px) IN (0, 2)", name="both_sides"),
    CheckConstraint("width_px > 0 AND height_px > 0", name="sides_px"),
    # Finds equal keys, and those that begin with a text in databases of any collation.
    Index(None, "bucket", "key", postgresql_ops={"key": "text_pattern_ops"}),
    Index(None, "uploaded_at"),
    Index(None, "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    comment="One row per image: one version of one S3 object",
)

removals = Table(
    "removals",
    metadata,
    Column("removal_id", BigInteger, Identity(always=True), primary_key=True, comment="Row number"),
    Column("bucket", Text, nullable=False, comment="The S3 bucket's name"),
    Column("key", Text, nullable=False, comment="The S3 object's key, decoded"),
    Column(
        "version",
        Text,
        comment="The version that is gone, as in images.version, or the id of a delete marker that "
        "is gone; the text null: the object without a version id. Null: a marker was put",
    ),
    Column(
        "delete_marker",
        Text,
        comment="The version id of the delete marker that was put; the text null where versioning "
        "is suspended. Its removal cancels it",
    ),
    Column(
        "sequencer",
        Text,
        comment="The S3 sequencer of the removal, or of the event whose object was found missing; "
        "null if there is none and the time decides",
    ),
    Column(
        "removed_at",
        timestamp,
        nullable=False,
        comment="When S3 removed the object (event time), or when it was found missing",
    ),
    Column(
        "recorded_at",
        timestamp,
        nullable=False,
        server_default=func.now(),
        comment="When this row was written",
    ),
    UniqueConstraint(
        "bucket",
        "key",
        "version",
        "delete_marker",
        "sequencer",
        "removed_at",
        postgresql_nulls_not_distinct=True,
    ),
    comment="Every removal that S3 reported or a worker noticed, kept because it can arrive before "
    "the creation that it undoes",
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", BigInteger, Identity(always=True), primary_key=True, comment="Row number"),
    Column(
        "image_id",
        ForeignKey("images.image_id"),
        nullable=False,
        comment="The image that the detector was applied to",
    ),
    Column("detector", Text, nullable=False, comment="The detector's name"),
    Column("detector_version", Text, nullable=False, comment="The detector's version"),
    Column(
        "fingerprint",
        Text,
        nullable=False,
        comment="Digest of the detector's options and of the model they name",
    ),
    Column(
        "event_id",
        Text,
        nullable=False,
        comment="The cause of this attempt: the S3 event's sequencer and time, or a replay's id. "
        "A skip's ends with /skipped, so that it never blocks an attempt",
    ),
    Column(
        "outcome",
        Text,
        nullable=False,
        comment="succeeded (also if nothing was found), failed, or skipped (the route decided "
        "against it and the detector was not called)",
    ),
    Column(
        "retryable",
        Boolean,
        nullable=False,
        comment="Whether another attempt at the same image can end differently: "
        "false for a success, and for a failure that is the image's own fault",
    ),
    Column(
        "error_code",
        Text,
        comment="Why it failed or was skipped, for programs; null if it succeeded",
    ),
    Column(
        "error_message",
        Text,
        comment="Why it failed or was skipped, for people; null if it succeeded",
    ),
    Column("model_version", Text, comment="The model's version as the detector reports it"),
    Column(
        "started_at",
        timestamp,
        nullable=False,
        comment="When the detector was called, or the route decided against it",
    ),
    Column("duration_ms", Double, nullable=False, comment="How long it took, in milliseconds"),
    Column("detection_count", Integer, nullable=False, comment="How many detections it made"),
    Column("billed_units", Numeric, nullable=False, comment="Units that the provider bills for it"),
    Column("price_usd", Numeric, nullable=False, comment="Their price in US dollars"),
    Column("raw_response", JSONB, comment="The detector's unprocessed answer, where it is kept"),
    Column(
        "truncated",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Whether the file ends before its picture does, and the detector looked at what is "
        "there; false where nothing decoded it",
    ),
    Column(
        "recorded_at",
        timestamp,
        nullable=False,
        server_default=func.now(),
        comment="When this row was written",
    ),
    Column(
        "erased_at",
        timestamp,
        comment="When parts of it were last erased because they named an erased person; "
        "null if it is whole",
    ),
    Column(
        "saved_usd",
        Numeric,
        comment="What one billed unit would have cost, in US dollars; null unless skipped",
    ),
    Column(
        "read_by_key",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Whether the detector read the object by its key alone, so that it may have read "
        "another upload. Such a success fails when the history learns that it may have",
    ),
    UniqueConstraint("image_id", "detector", "detector_version", "fingerprint", "event_id"),
    CheckConstraint(
        "check_run(outcome, retryable, error_code, error_message, saved_usd, duration_ms, "
        "detection_count, billed_units, price_usd)",
        name="possible",
    ),
    Index(
        "uq_runs_success",
        "image_id",
        "detector",
        "detector_version",
        "fingerprint",
        unique=True,
        postgresql_where=text("outcome = 'succeeded'"),
    ),
    Index("ix_runs_started_at", "started_at"),
    Index("ix_runs_failed", "started_at", postgresql_where=text("outcome = 'failed'")),
    Index("ix_runs_raw_response", "started_at", postgresql_where=text("raw_response IS NOT NULL")),
    Index(
        "ix_runs_faces_named",
        text("faces_named(raw_response)"),
        postgresql_using="gin",
        postgresql_where=text(
            "raw_response ?| ARRAY['SearchFacesByImage', 'SearchFaces', 'IndexFaces', "
            "'SearchUsersByImage', 'SearchUsers']"
        ),
    ),
    comment="One row per attempt of one detector at one image, and per skip. A run key (image, "
    "detector, detector version, fingerprint) succeeds once; failed attempts stay",
)

run_counts = Table(
    "run_counts",
    metadata,
    Column("day", Date, primary_key=True, comment="The day in UTC on which the runs started"),
    Column(
        "series",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="count_series() of the four texts",
    ),
    Column(
        "shard",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="One of several rows to add up",
    ),
    Column("detector", Text, nullable=False, comment="The detector's name"),
    Column("detector_version", Text, nullable=False, comment="The detector's version"),
    Column("fingerprint", Text, nullable=False, comment="Digest of the detector's options"),
    Column("model_version", Text, comment="The model's version as the detector reported it"),
    Column(
        "runs",
        Integer,
        nullable=False,
        comment="How many runs, without skips, in this shard; negative where another shard counted "
        "what this one subtracted, as may be all that follow",
    ),
    Column("failed_runs", Integer, nullable=False, comment="How many of them failed"),
    Column("skipped_runs", Integer, nullable=False, comment="How many skips"),
    Column("detections", BigInteger, nullable=False, comment="How many detections the runs made"),
    Column("billed_units", Numeric, nullable=False, comment="Units that the provider bills"),
    Column("price_usd", Numeric, nullable=False, comment="Their price in US dollars"),
    Column("saved_usd", Numeric, nullable=False, comment="What the skips saved, in US dollars"),
    comment="Runs counted by day, version and options, in the transactions that write them; read "
    "it through run_costs and detector_versions",
    postgresql_with={"fillfactor": 70},
)

detections = Table(
    "detections",
    metadata,
    Column(
        "detection_id", BigInteger, Identity(always=True), primary_key=True, comment="Row number"
    ),
    # Not a foreign key: checking it took a sixth of the time to record 100 images. record_runs()
    # inserts both, and triggers on runs delete both.
    Column("run_id", BigInteger, nullable=False, comment="The run that made it"),
    Column(
        "image_id", Uuid, nullable=False, comment="The image; the run's, repeated for its index"
    ),
    Column("ordinal", Integer, nullable=False, comment="Position in the detector's answer, from 0"),
    Column("kind", Text, nullable=False, comment="The kind of finding: label, face, text, …"),
    Column("label", Text, nullable=False, comment="What was found"),
    Column("confidence", Double, nullable=False, comment="How sure the detector is, 0 to 1"),
    Column(
        "box_left",
        Double,
        comment="Left edge of the bounding box as a ratio of the displayed image's width; "
        "may be outside 0 to 1; null if the detector reports no place",
    ),
    Column(
        "box_top",
        Double,
        comment="Top edge as a ratio of the displayed image's height; may be outside 0 to 1",
    ),
    Column("box_width", Double, comment="Width as a ratio of the displayed image's width"),
    Column("box_height", Double, comment="Height as a ratio of the displayed image's height"),
    Column(
        "attributes",
        JSONB,
        nullable=False,
        server_default=text("'{}'"),
        comment="Everything else that the detector returned",
    ),
    Column(
        "detected_at",
        timestamp,
        primary_key=True,
        comment="The run's started_at, repeated for its index and its partition",
    ),
    Column(
        "start_ms",
        Integer,
        comment="In a video, when it appears, in milliseconds from the first frame; null in an "
        "image",
    ),
    Column(
        "end_ms",
        Integer,
        comment="In a video, when it is last seen; equal to start_ms for a single moment",
    ),
    Column(
        "track",
        Integer,
        comment="In a video, the number of the object: a hint that appearances of one run with the "
        "same number show the same object; null if the detector reports none",
    ),
    # The time before the ordinal. Otherwise PostgreSQL 18 plans to skip through all ordinals, which
    # are many in a video, and reads whole tables instead.
    UniqueConstraint("run_id", "detected_at", "ordinal"),
    CheckConstraint("ordinal >= 0", name="ordinal"),
    CheckConstraint("octet_length(label) BETWEEN 1 AND 2048", name="label"),
    CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
    CheckConstraint(
        "num_nulls(box_left, box_top, box_width, box_height) IN (0, 4)", name="whole_box"
    ),
    # NaN compares as the greatest number. Postgres reads the constraint for each statement, so it
    # is short.
    CheckConstraint(
        "greatest(box_left, box_top, box_width, box_height) < 'Infinity' "
        "AND least(box_left, box_top) > '-Infinity' AND least(box_width, box_height) >= '0'",
        name="box",
    ),
    Index(
        "ix_detections_label",
        "label",
        text("detected_at DESC"),
        # The index alone answers which runs found a label with a confidence.
        postgresql_include=["confidence", "image_id", "run_id"],
    ),
    Index(
        "ix_detections_faces_named",
        text("faces_named(attributes)"),
        postgresql_using="gin",
        postgresql_where=text("attributes ?| ARRAY['Face', 'FaceId', 'UserId']"),
    ),
    Index(
        "ix_detections_text",
        "label",
        postgresql_using="gin",
        postgresql_ops={"label": "gin_trgm_ops"},
        postgresql_where=text("kind = 'text'"),
    ),
    comment="One row per finding of a run, in partitions by month of detected_at",
    postgresql_partition_by="RANGE (detected_at)",
)

detector_configurations = Table(
    "detector_configurations",
    metadata,
    Column("detector", Text, primary_key=True, comment="The detector's name"),
    Column("detector_version", Text, primary_key=True, comment="The detector's version"),
    Column(
        "fingerprint",
        Text,
        primary_key=True,
        comment="Digest of the detector's options and of the model they name, as in runs",
    ),
    Column("options", JSONB, nullable=False, comment="The detector's options; secrets are masked"),
    Column(
        "first_seen_at",
        timestamp,
        nullable=False,
        server_default=func.now(),
        comment="When a worker first started with them",
    ),
    comment="The options of each fingerprint; workers write them when they start",
)

configurations_in_use = Table(
    "configurations_in_use",
    metadata,
    Column("pool", Text, primary_key=True, comment="The ARN of the pool's queue"),
    Column("detector", Text, primary_key=True, comment="The detector's name"),
    Column(
        "media",
        Text,
        primary_key=True,
        server_default="image",
        comment="video for a detector of images that also processes frames of videos, and image",
    ),
    Column("detector_version", Text, nullable=False, comment="The detector's version"),
    Column(
        "fingerprint",
        Text,
        nullable=False,
        comment="Digest of the detector's options and of the model they name, as in runs",
    ),
    Column(
        "since",
        timestamp,
        nullable=False,
        server_default=func.now(),
        comment="When a worker of the pool first started with them, after others",
    ),
    comment="With which version and options each pool last started each of its detectors; decides "
    "which run is the latest. Delete the rows of a pool that is gone",
)

record_locks = Table(
    "record_locks",
    metadata,
    Column("purpose", Text, primary_key=True, comment="key, erasure or job"),
    Column("place", Integer, primary_key=True, comment="Which of the locks for this purpose"),
    comment="Rows that transactions lock, and never change. Every login can take an advisory lock, "
    "but only writers can lock these",
)
