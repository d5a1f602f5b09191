"""Hosted models that are started and stopped on demand, and their cost."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from retinue_history.schema.tables.base import metadata, timestamp

models = Table(
    "models",
    metadata,
    Column("model", Text, primary_key=True, comment="The provider's name for it, such as an ARN"),
    Column("detector", Text, nullable=False, comment="The detector that asks it"),
    Column(
        "options",
        JSONB,
        nullable=False,
        server_default=text("'{}'"),
        comment="That detector's options, which identify the model",
    ),
    Column("holder", Text, comment="The controller that holds the lease; null if none"),
    Column(
        "token",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="Increases with each new holder, so that a former one can't write",
    ),
    Column("expires_at", timestamp, comment="When the lease ends unless it is renewed"),
    Column(
        "status",
        Text,
        nullable=False,
        server_default=text("'unknown'"),
        comment="The model's status as its controller last saw it",
    ),
    Column(
        "reason",
        Text,
        nullable=False,
        server_default=text("''"),
        comment="Why it is not serving",
    ),
    Column(
        "serving",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Whether workers may receive messages for it",
    ),
    Column(
        "waiting_since",
        timestamp,
        comment="Since when messages are waiting for it; null if none are",
    ),
    Column(
        "failures",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="Consecutive failed starts",
    ),
    Column("not_before", timestamp, comment="When it may be started again after a failure"),
    Column("keep_until", timestamp, comment="Until when it was asked to run without work"),
    comment="Models that are started when work waits and stopped when none is left, "
    "and who controls each",
)

model_sessions = Table(
    "model_sessions",
    metadata,
    Column(
        "session_id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="The session's number",
    ),
    Column("model", Text, nullable=False, comment="The provider's name for the model"),
    Column("detector", Text, nullable=False, comment="The detector that asks it"),
    Column("token", BigInteger, nullable=False, comment="The lease under which it was begun"),
    Column("units", Integer, nullable=False, comment="Inference units"),
    Column(
        "usd_per_unit_minute",
        Numeric,
        nullable=False,
        comment="Price of a unit a minute, in US dollars",
    ),
    Column(
        "requested_at",
        timestamp,
        nullable=False,
        server_default=text("clock_timestamp()"),
        comment="When the start was requested; billing counts from here",
    ),
    Column("running_at", timestamp, comment="When it was first seen running"),
    Column("stop_requested_at", timestamp, comment="When the stop was requested"),
    Column(
        "stopped_at",
        timestamp,
        comment="When it was seen stopped; null until then",
    ),
    Column("start_reason", Text, nullable=False, comment="Why it was started"),
    Column("stop_reason", Text, comment="Why it was stopped, or ended"),
    CheckConstraint("units > 0", name="units"),
    CheckConstraint("usd_per_unit_minute >= 0", name="price"),
    Index(
        "uq_model_sessions_open",
        "model",
        unique=True,
        postgresql_where=text("stopped_at IS NULL"),
    ),
    Index("ix_model_sessions_requested", "requested_at"),
    comment="One row per session of hosting; written before the start is requested",
)
