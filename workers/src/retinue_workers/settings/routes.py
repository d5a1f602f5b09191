"""Settings for a detector's route."""

from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from retinue_workers.settings.detectors import check_named

_NAME = Field(min_length=1, max_length=1_024)


def _listed(value: object) -> object:
    """Turn one text into a list."""
    return [value] if isinstance(value, str) else value


Patterns: TypeAlias = Annotated[
    tuple[Annotated[str, _NAME], ...], Field(min_length=1, max_length=100), BeforeValidator(_listed)
]
"""One pattern or several, of which one must match: ``*`` any characters, ``?`` one, ``[ab]`` a or
b. Case-sensitive.
"""

Confidence: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Pixels: TypeAlias = Annotated[int, Field(ge=1)]
Bytes: TypeAlias = Annotated[int, Field(ge=0)]


class RequiresDetection(BaseModel):
    """A required detection of another detector in the pool."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    detector: str = Field(min_length=1)
    """The other detector's name. It runs first."""

    label: Patterns | None = None
    """Patterns of labels that count. Default: any label."""

    kind: Patterns | None = None
    """Patterns of kinds that count. Default: any kind."""

    min_confidence: Confidence = 0.0
    """Minimum confidence of detections that count."""

    min_count: int = Field(default=1, ge=1)
    """Minimum number of these detections."""

    if_unknown: Literal["skip", "run"] = "skip"
    """Whether to skip or run if the other detector failed on the image or was skipped."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_for_null(cls, value: object) -> object:
        """Replace null with the default, because Terraform writes null for omitted attributes."""
        return _without_nulls(value)


class Route(BaseModel):
    """Conditions under which a detector receives an image. All given conditions must be met."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    bucket: Patterns | None = None
    """Patterns of the bucket's name."""

    key: Patterns | None = None
    """Patterns of the object's key, decoded. ``*`` also matches ``/``."""

    extension: Patterns | None = None
    """The key's ending after its last dot, such as ``jpg``. Case-insensitive."""

    min_size_bytes: Bytes | None = None
    """Minimum file size, in bytes."""

    max_size_bytes: Bytes | None = None
    """Maximum file size, in bytes."""

    content_type: Patterns | None = None
    """Patterns of the object's Content-Type. Costs a HeadObject per image."""

    metadata: Mapping[str, Patterns] | None = None
    """Patterns by name of user metadata, in lower case. Costs a HeadObject per image."""

    tags: Mapping[str, Patterns] | None = None
    """Patterns by name of object tag. Costs a GetObjectTagging per image."""

    min_width_px: Pixels | None = None
    """Minimum width as displayed, in pixels. The file is fetched for its header."""

    max_width_px: Pixels | None = None
    """Maximum width as displayed, in pixels. The file is fetched for its header."""

    min_height_px: Pixels | None = None
    """Minimum height as displayed, in pixels. The file is fetched for its header."""

    max_height_px: Pixels | None = None
    """Maximum height as displayed, in pixels. The file is fetched for its header."""

    found: Annotated[
        tuple[RequiresDetection, ...],
        Field(max_length=20),
        BeforeValidator(
            lambda value: [value] if isinstance(value, Mapping | RequiresDetection) else value
        ),
    ] = ()
    """One condition or a list: detections that other detectors of the pool must have found."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_for_null(cls, value: object) -> object:
        """Replace null with the default, because Terraform writes null for omitted attributes."""
        return _without_nulls(value)

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Raise for a route without conditions, or with conditions that can't be met."""
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError(f"has no condition; there are {', '.join(type(self).model_fields)}")
        for what in ("size_bytes", "width_px", "height_px"):
            least, most = getattr(self, f"min_{what}"), getattr(self, f"max_{what}")
            if least is not None and most is not None and least > most:
                raise ValueError(f"min_{what} ({least:,}) is above max_{what} ({most:,})")
        if any(name != name.lower() for name in self.metadata or ()):
            raise ValueError("metadata: S3 keeps the names of user metadata in lower case")
        return self

    @property
    def needs_head(self) -> bool:
        """Return whether the object's type and metadata must be read from S3."""
        return bool(self.content_type or self.metadata)

    @property
    def needs_tags(self) -> bool:
        """Return whether the object's tags must be read from S3."""
        return bool(self.tags)

    @property
    def needs_size_px(self) -> bool:
        """Return whether the file's header must be read."""
        sides = (self.min_width_px, self.max_width_px, self.min_height_px, self.max_height_px)
        return any(sides)


def check_routes(routes: Mapping[str, Route], detectors: Collection[str]) -> None:
    """Raise for routes with unknown detectors, or with a cycle.

    Raises:
        ValueError: The message names the route and the remedy.
    """
    check_named(routes, detectors)
    for name, route in routes.items():
        try:
            check_named([found.detector for found in route.found], detectors)
        except ValueError as error:
            raise ValueError(f"the route of {name}: {error}") from None
    before = {name: {found.detector for found in route.found} for name, route in routes.items()}
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        cycle = " → ".join(reversed(error.args[1]))
        raise ValueError(
            f"routes form a cycle: {cycle}. Remove one of the `found` conditions"
        ) from None


def _without_nulls(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return {name: item for name, item in value.items() if item is not None}
