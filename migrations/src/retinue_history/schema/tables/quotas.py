"""The quotas and budgets that workers share."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Numeric,
    Table,
    Text,
    func,
    text,
)

from retinue_history.schema.tables.base import metadata, timestamp

quotas = Table(
    "quotas",
    metadata,
    Column(
        "quota",
        Text,
        primary_key=True,
        comment="The quota's name, such as rekognition:eu-west-1:DetectLabels",
    ),
    Column(
        "limit_rps",
        Double,
        comment="Requests a second at which throttling was met; null if never",
    ),
    Column("lowered_at", timestamp, comment="When that was; the rate climbs from then on"),
    Column(
        "epoch",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="How often the limit was lowered",
    ),
    Column(
        "calls",
        Double,
        nullable=False,
        server_default=text("0"),
        comment="Recent calls since then, of all workers",
    ),
    Column(
        "throttled",
        Double,
        nullable=False,
        server_default=text("0"),
        comment="How many of them were throttled",
    ),
    CheckConstraint("limit_rps > 0 AND limit_rps < 'Infinity'", name="limit_rps"),
    comment="The rates that providers allow, learned from throttling: one row per shared quota",
)

quota_leases = Table(
    "quota_leases",
    metadata,
    Column("quota", ForeignKey("quotas.quota"), primary_key=True, comment="The quota's name"),
    Column(
        "worker",
        Text,
        primary_key=True,
        comment="The worker's id, generated when it starts",
    ),
    Column("demand_rps", Double, nullable=False, comment="Requests a second that it could make"),
    Column("share_rps", Double, nullable=False, comment="Requests a second that it may make"),
    Column(
        "expires_at",
        timestamp,
        nullable=False,
        comment="When the lease ends unless renewed, so that a dead worker's share becomes free",
    ),
    Column(
        "slot_at",
        timestamp,
        nullable=False,
        server_default=func.now(),
        comment="When one of its requests is due; the others are evenly spaced around it",
    ),
    comment="Which worker may use how much of a quota, for the next seconds",
)

monthly_spending = Table(
    "monthly_spending",
    metadata,
    Column(
        "month",
        Date,
        primary_key=True,
        comment="First day of the month (UTC) in which the runs started",
    ),
    Column("detector", Text, primary_key=True, comment="The detector's name"),
    Column(
        "billing_group",
        Text,
        primary_key=True,
        comment="Group of calls that the provider counts together for its price tiers",
    ),
    Column("billed_units", Numeric, nullable=False, comment="Units billed"),
    Column("price_usd", Numeric, nullable=False, comment="Their price in US dollars"),
    comment="The cost of each detector in each month, counted as runs are committed",
)
