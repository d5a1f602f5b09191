"""The filters that all pages share: the parameters of an address, and the same in SQL."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, LiteralString, Self

from psycopg import sql
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from retinue_cli.options.timestamp import parse_timestamp
from retinue_history.analysis.selection import split_place
from retinue_sdk.options import DescribedModel

from retinue_console.queries.cursor import Cursor

MAX_TEXT_BYTES = 2048
"""The longest text that a filter may have: that of a label, and twice that of a key."""


def _storable(text: str) -> str:
    """Refuse a text that no column of the history can contain."""
    if "\0" in text:
        raise ValueError("it contains NUL, which isn't allowed")
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("it contains a lone surrogate, which is not valid Unicode") from None
    if length > MAX_TEXT_BYTES:
        raise ValueError(f"it has {length:,} bytes; {MAX_TEXT_BYTES:,} are allowed")
    return text


def _moment(value: Any) -> Any:
    """Read a time; pydantic would take numbers for seconds."""
    return parse_timestamp(value) if isinstance(value, str) else value


def _representable(moment: datetime) -> datetime:
    """Refuse a time that leaves the calendar in another zone."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("it is outside of the years 1 to 9999") from None


def _cursor(value: Any) -> Any:
    return Cursor.parse(value) if isinstance(value, str) else value


def _place(prefix: str) -> str:
    split_place(prefix)
    return prefix


Word = Annotated[str, AfterValidator(_storable)]
"""A text to compare with."""

Moment = Annotated[datetime, BeforeValidator(_moment), AfterValidator(_representable)]
"""A point in time, in UTC."""

Confidence = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

AfterCursor = Annotated[Cursor, BeforeValidator(_cursor), WithJsonSchema({"type": "string"})]
"""The place after which a list continues."""


class Filters(DescribedModel):
    """Filters of images and detections. Empty ones match everything."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True
    )

    label: Word | None = None
    """Exactly this label."""

    parent: Word | None = None
    """This label or a narrower one, in upper or lower case."""

    kind: Word | None = None
    """The kind of detection: label, face, text, …"""

    detector: Word | None = None
    """The detector's name."""

    version: Word | None = None
    """The detector's version."""

    min_confidence: Confidence | None = None
    """Minimum confidence, 0 to 1."""

    max_confidence: Confidence | None = None
    """Greatest confidence, 0 to 1."""

    since: Moment | None = None
    """Not before this time: 2026-01-31, 2026-01-31T12:00+01:00, or 7d for seven days ago. It is the
    time of detections if a label is given or detections are listed, else that of uploads."""

    until: Moment | None = None
    """Before this time; as since."""

    prefix: Annotated[Word, AfterValidator(_place)] | None = None
    """The beginning of the key, or s3://bucket/prefix."""

    reviewed: bool | None = None
    """True for images that have a truth, false for those that have none."""

    after: AfterCursor | None = None
    """The place where the list continues: ``next`` or ``previous`` of another page."""

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        """Leave out the fields of a form that were not filled in."""
        if not isinstance(given, Mapping):
            return given
        return {name: value for name, value in given.items() if value != ""}

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        low, high = self.min_confidence, self.max_confidence
        if low is not None and high is not None and low > high:
            raise ValueError(f"min_confidence {low:g} is above max_confidence {high:g}")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("since is not before until")
        return self

    @property
    def names_labels(self) -> bool:
        """Return whether labels are named, so that the index by label leads to the matches."""
        return self.label is not None or self.parent is not None

    @property
    def is_about_detections(self) -> bool:
        """Return whether an image matches only through a detection."""
        given = (self.label, self.parent, self.kind, self.min_confidence, self.max_confidence)
        return any(value is not None for value in given)

    def parameters(self) -> dict[str, str]:
        """Return the filters as parameters of an address, which give the same filters again."""
        return {
            name: _written(value)
            for name in type(self).model_fields
            if (value := getattr(self, name)) is not None
        }

    def of_image(self, name: str = "images") -> list[sql.Composable]:
        """Conditions on an image: columns of this table or alias."""
        conditions: list[sql.Composable] = []
        if self.reviewed is not None:
            truth = sql.SQL("EXISTS (SELECT FROM truths WHERE truths.image_id = {}) = {}")
            column = sql.Identifier(name, "image_id")
            conditions.append(truth.format(column, sql.Literal(self.reviewed)))
        if self.prefix is None:
            return conditions
        bucket, key = split_place(self.prefix)
        conditions += [] if bucket is None else _all(name, [("bucket = {}", bucket)])
        if key:
            column = sql.Identifier(name, "key")
            conditions.append(sql.SQL("starts_with({}, {})").format(column, sql.Literal(key)))
        return conditions

    def of_run(self, name: str) -> list[sql.Composable]:
        """Conditions on the detector and its version: columns of this table or alias."""
        given: tuple[tuple[LiteralString, object], ...] = (
            ("detector = {}", self.detector),
            ("detector_version = {}", self.version),
        )
        return _all(name, given)

    def of_confidence(self, name: str) -> list[sql.Composable]:
        """Conditions on a detection's confidence."""
        return _all(
            name,
            [("confidence >= {}", self.min_confidence), ("confidence <= {}", self.max_confidence)],
        )

    def of_kind(self, name: str) -> list[sql.Composable]:
        """Conditions on a detection's kind."""
        return _all(name, [("kind = {}", self.kind)])

    def between(self, column: LiteralString) -> list[sql.Composable]:
        """Conditions on a column with a time."""
        conditions = []
        if self.since is not None:
            conditions.append(compare(column + " >= {}", self.since))
        if self.until is not None:
            conditions.append(compare(column + " < {}", self.until))
        return conditions


def _written(value: object) -> str:
    """Return a value as an address has it."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value).lower() if isinstance(value, bool) else str(value)


def compare(condition: LiteralString, *values: object) -> sql.Composable:
    """Return a condition with its values in it."""
    return sql.SQL(condition).format(*(sql.Literal(value) for value in values))


def all_of(*conditions: sql.Composable) -> sql.Composable:
    """Join conditions with AND; without any, true."""
    return sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true")


def _all(name: str, given: Sequence[tuple[LiteralString, object]]) -> list[sql.Composable]:
    return [
        sql.Identifier(name) + sql.SQL(".") + compare(condition, value)
        for condition, value in given
        if value is not None
    ]
