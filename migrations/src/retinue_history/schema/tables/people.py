"""The tables about people in face collections and about erasures, as of the newest revision.

They share the metadata of ``tables.py``, which knows no people.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from retinue_history.schema.tables.base import metadata, timestamp

people = Table(
    "people",
    metadata,
    Column("person_id", BigInteger, Identity(always=True), primary_key=True, comment="Row number"),
    Column(
        "external_image_id",
        Text,
        nullable=False,
        comment="What the person is called in the collection and in detections: "
        "derived from the name",
    ),
    Column("region", Text, nullable=False, comment="The collection's AWS region"),
    Column("collection_id", Text, nullable=False, comment="The collection's id"),
    Column("name", Text, nullable=False, comment="The person's name, as the operator writes it"),
    Column(
        "consent",
        Text,
        nullable=False,
        comment="What allows us to keep this person's face vectors: the reference given last",
    ),
    Column(
        "enrolled_at",
        timestamp,
        nullable=False,
        server_default=func.now(),
        comment="When the person was first enrolled in this collection",
    ),
    UniqueConstraint("external_image_id", "region", "collection_id"),
    CheckConstraint("name <> ''", name="name"),
    CheckConstraint(r"consent ~ '\S'", name="consent"),
    comment="One row per person and face collection; docs/faces.md. For the owner's eyes alone",
)

faces = Table(
    "faces",
    metadata,
    Column("face_id", Text, primary_key=True, comment="Amazon Rekognition's id of the face vector"),
    Column("person_id", ForeignKey("people.person_id"), nullable=False, comment="Whose face it is"),
    Column(
        "consent", Text, nullable=False, comment="The consent under which this face was indexed"
    ),
    Column(
        "photo",
        Text,
        nullable=False,
        comment="The photo it was taken from: a file's name, or an S3 URI",
    ),
    Column("model_version", Text, comment="The face model's version, as the service tells it"),
    Column(
        "indexed_at",
        timestamp,
        nullable=False,
        server_default=func.now(),
        comment="When it was indexed",
    ),
    Index(None, "person_id"),
    comment="One row per face vector of a person that `retinue faces` put into a collection",
)

erasures = Table(
    "erasures",
    metadata,
    Column("erasure_id", BigInteger, Identity(always=True), primary_key=True, comment="Row number"),
    Column(
        "subject_kind",
        Text,
        nullable=False,
        comment="What kind of thing was erased: person, external_image_id, face_id, image, object, "
        "key, prefix",
    ),
    Column(
        "subject_digest",
        LargeBinary,
        nullable=False,
        comment="erasure_digest(kind:subject): tells whether a subject that you name was erased, "
        "and no more",
    ),
    Column(
        "removed",
        JSONB,
        nullable=False,
        server_default=text("'{}'"),
        comment="How many of each: face_vectors, detections, runs, people, faces, images, removals",
    ),
    Column(
        "requested_at",
        timestamp,
        nullable=False,
        server_default=func.now(),
        comment="When it was begun",
    ),
    Column(
        "completed_at",
        timestamp,
        comment="When everything was removed and that was verified; "
        "null: unfinished, ask for it again",
    ),
    CheckConstraint("subject_kind <> ''", name="subject_kind"),
    CheckConstraint("octet_length(subject_digest) = 32", name="subject_digest"),
    CheckConstraint("completed_at >= requested_at", name="completed_at"),
    Index(
        "uq_erasures_open",
        "subject_kind",
        "subject_digest",
        unique=True,
        postgresql_where=text("completed_at IS NULL"),
    ),
    comment="What was erased on request, and that it was; holds no personal data",
)

erased_names = Table(
    "erased_names",
    metadata,
    Column(
        "digest",
        LargeBinary,
        primary_key=True,
        comment="erasure_digest() of a face id, an external image id or a name",
    ),
    Column(
        "erasure_id",
        ForeignKey("erasures.erasure_id"),
        nullable=False,
        comment="The erasure that forbids it",
    ),
    CheckConstraint("octet_length(digest) = 32", name="digest"),
    comment="What nothing may be recorded under any more: a worker that was looking at an image "
    "while its person was forgotten must not bring the person back",
)

erased_images = Table(
    "erased_images",
    metadata,
    Column(
        "digest",
        LargeBinary,
        primary_key=True,
        comment="erasure_digest() of image:id, object:s3://bucket/key, key:key or "
        "prefix:s3://bucket/prefix",
    ),
    Column(
        "prefix_length",
        Integer,
        comment="How many characters of a key the prefix has; null for anything else",
    ),
    Column(
        "erased_until",
        timestamp,
        nullable=False,
        comment="When it was last asked for: what was uploaded later is new, and is recorded",
    ),
    Column(
        "erasure_id",
        ForeignKey("erasures.erasure_id"),
        nullable=False,
        comment="The erasure that forbids it",
    ),
    CheckConstraint("octet_length(digest) = 32", name="digest"),
    CheckConstraint("prefix_length >= 0", name="prefix_length"),
    Index(
        "ix_erased_images_prefix_length",
        "prefix_length",
        postgresql_where=text("prefix_length IS NOT NULL"),
    ),
    comment="Which images may not be recorded any more: neither a worker that was looking at one "
    "while it was forgotten, nor a replay, nor a backfill brings it back",
)

erasure_salt = Table(
    "erasure_salt",
    metadata,
    Column(
        "salt",
        LargeBinary,
        primary_key=True,
        comment="Random bytes, made once for this database; for the owner's eyes alone",
    ),
    CheckConstraint("octet_length(salt) >= 32", name="salt"),
    comment="One row: what keeps others from guessing the names behind the digests",
)
