"""People in face collections, and erasures."""

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
        comment="The person's id in the collection and in detections, derived from the name",
    ),
    Column("region", Text, nullable=False, comment="The collection's AWS region"),
    Column("collection_id", Text, nullable=False, comment="The collection's id"),
    Column("name", Text, nullable=False, comment="The person's name, as the operator writes it"),
    Column(
        "consent",
        Text,
        nullable=False,
        comment="The consent to keep this person's face vectors: the latest reference",
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
    comment="One row per person and face collection; docs/faces.md. Only the owner can read it",
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
        comment="The photo of the face: a file's name, or an S3 URI; null once it is erased",
    ),
    Column("model_version", Text, comment="The face model's version, as the service reports it"),
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
        comment="The kind of subject: person, external_image_id, face_id, image, object, "
        "key, prefix",
    ),
    Column(
        "subject_digest",
        LargeBinary,
        nullable=False,
        comment="erasure_digest(kind:subject), to look up whether a given subject was erased",
    ),
    Column(
        "removed",
        JSONB,
        nullable=False,
        server_default=text("'{}'"),
        comment="How many of each: face_vectors, detections, runs, people, faces, images, "
        "removals, truths, answers, truth_items, answer_items",
    ),
    Column(
        "requested_at",
        timestamp,
        nullable=False,
        server_default=func.now(),
        comment="When it began",
    ),
    Column(
        "completed_at",
        timestamp,
        comment="When the removal was complete and verified; null if unfinished: request it again",
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
    comment="What was erased on request; holds no personal data",
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
    comment="Names under which nothing may be recorded: a worker that was processing an image "
    "while its person was erased must not record the person again",
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
        comment="Length of the prefix in characters; null for other subjects",
    ),
    Column(
        "erased_until",
        timestamp,
        nullable=False,
        comment="When the erasure was last requested; later uploads are new and are recorded",
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
    comment="Images that may not be recorded: no worker, replay or backfill brings them back",
)

erasure_salt = Table(
    "erasure_salt",
    metadata,
    Column(
        "salt",
        LargeBinary,
        primary_key=True,
        comment="Random bytes, generated once for this database; only the owner can read them",
    ),
    CheckConstraint("octet_length(salt) >= 32", name="salt"),
    comment="One row: the salt that keeps others from guessing the names behind the digests",
)
