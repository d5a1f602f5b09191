"""Which months of detections have left for an archive."""

from sqlalchemy import Boolean, Column, Table, Text, Uuid, text

from retinue_history.schema.tables.base import metadata, timestamp

archived_months = Table(
    "archived_months",
    metadata,
    Column(
        "partition",
        Text,
        primary_key=True,
        comment="The month's partition of detections, such as detections_2026_01",
    ),
    Column(
        "archive",
        Text,
        nullable=False,
        comment="Where its detections are: s3://bucket/prefix, or a folder",
    ),
    Column(
        "attempt",
        Uuid,
        nullable=False,
        comment="Identifies the files that were written from this partition",
    ),
    Column(
        "changed",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Whether a detection of the partition changed since it was begun to be archived",
    ),
    Column(
        "archived_at",
        timestamp,
        comment="When the partition was dropped; null while it is being archived",
    ),
    comment="Months of detections that `retinue maintain` archived",
)
