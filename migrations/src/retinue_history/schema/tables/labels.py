"""Labels: daily counts, names, and their hierarchy."""

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    Index,
    Integer,
    Table,
    Text,
    literal_column,
    text,
)

from retinue_history.schema.tables.base import metadata

label_counts = Table(
    "label_counts",
    metadata,
    Column("day", Date, primary_key=True, comment="The day in UTC on which the runs started"),
    Column(
        "label",
        Text,
        primary_key=True,
        comment="What was found; empty for recognized texts (kind text), counted together",
    ),
    Column(
        "series",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="count_series() of the other texts",
    ),
    Column(
        "shard",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="One of several rows to add up; `retinue maintain` merges those of past days",
    ),
    Column("kind", Text, nullable=False, comment="What sort of finding: label, face, text, …"),
    Column("detector", Text, nullable=False, comment="The detector's name"),
    Column("detector_version", Text, nullable=False, comment="The detector's version"),
    Column("model_version", Text, comment="The model's version as the detector reported it"),
    Column(
        "detections",
        Integer,
        nullable=False,
        comment="How many, in this shard; negative where another shard counted what this one "
        "subtracted",
    ),
    Column(
        "confidence_ppm",
        BigInteger,
        nullable=False,
        comment="The sum of their confidences in millionths: integers add up exactly in any order",
    ),
    Index(None, "label", "day"),
    Index("ix_label_counts_unmerged", "day", postgresql_where=text("shard <> 0")),
    comment="Detections counted by day and label, in the transactions that write them; read it "
    "through label_counts_daily",
    postgresql_with={"fillfactor": 70},
)

labels = Table(
    "labels",
    metadata,
    Column("label", Text, primary_key=True, comment="What was found"),
    Column(
        "kind", Text, primary_key=True, comment="What sort of finding: label, face, moderation, …"
    ),
    Index(
        "ix_labels_prefix",
        literal_column("lower(label)").label("in_lower_case"),
        postgresql_ops={"in_lower_case": "text_pattern_ops"},
    ),
    Index(
        "ix_labels_trigrams",
        "label",
        postgresql_using="gin",
        postgresql_ops={"label": "gin_trgm_ops"},
    ),
    comment="Every label ever found, up to 1,000 bytes long, for searching by a part or a prefix. "
    "Recognized texts (kind text) are searched in detection_history",
)

label_parents = Table(
    "label_parents",
    metadata,
    Column("label", Text, primary_key=True, comment="The narrower label, such as Car"),
    Column("parent", Text, primary_key=True, comment="The wider label, such as Vehicle"),
    Index("ix_label_parents_parent", text("lower(parent)")),
    comment="Which label is a kind of which, from attributes of detections; label_is() reads it",
)
