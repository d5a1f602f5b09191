"""A detector's route, as the settings spell it."""

from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from retinue_workers.settings.detectors import check_named

_NAME = Field(min_length=1, max_length=1_024)


def _listed(value: object) -> object:
    """One text stands for a list of one."""
    return [value] if isinstance(value, str) else value


Patterns: TypeAlias = Annotated[
    tuple[Annotated[str, _NAME], ...], Field(min_length=1, max_length=100), BeforeValidator(_listed)
]
"""One pattern or several, of which one must match: ``*`` any characters, ``?`` one, ``[ab]`` a or
b; case counts."""

Confidence: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Pixels: TypeAlias = Annotated[int, Field(ge=1)]
Bytes: TypeAlias = Annotated[int, Field(ge=0)]


class RequiresDetection(BaseModel):
    """What another detector of the pool must have found in the image."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    detector: str = Field(min_length=1)
    """The other detector's name; it works first."""

    label: Patterns | None = None
    """Labels that count, as patterns; any by default."""

    kind: Patterns | None = None
    """Kinds that count, as patterns; any by default."""

    min_confidence: Confidence = 0.0
    """Least confidence that counts."""

    min_count: int = Field(default=1, ge=1)
    """How many such detections there must be."""

    if_unknown: Literal["skip", "run"] = "skip"
    """What to do when the other detector failed on the image, or was itself skipped."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_for_null(cls, value: object) -> object:
        """Take null as not given: Terraform writes it for attributes that are left out."""
        return _without_nulls(value)


class Route(BaseModel):
    """Conditions for an image to be given to a detector; all that are given must hold."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    bucket: Patterns | None = None
    """Patterns for the bucket's name."""

    key: Patterns | None = None
    """Patterns for the object's key, decoded; ``*`` also matches ``/``."""

    extension: Patterns | None = None
    """What the key ends with after its last dot, such as ``jpg``; case does not count."""

    min_size_bytes: Bytes | None = None
    """Least size of the file, in bytes."""

    max_size_bytes: Bytes | None = None
    """Greatest size of the file, in bytes."""

    content_type: Patterns | None = None
    """Patterns for the object's Content-Type. Costs a HeadObject for each image."""

    metadata: Mapping[str, Patterns] | None = None
    """Patterns by name of user metadata, in lower case. Costs a HeadObject for each image."""

    tags: Mapping[str, Patterns] | None = None
    """Patterns by name of object tag. Costs a GetObjectTagging for each image."""

    min_width_px: Pixels | None = None
    """Least width as displayed, in pixels. The file is fetched for its header."""

    max_width_px: Pixels | None = None
    """Greatest width as displayed, in pixels. The file is fetched for its header."""

    min_height_px: Pixels | None = None
    """Least height as displayed, in pixels. The file is fetched for its header."""

    max_height_px: Pixels | None = None
    """Greatest height as displayed, in pixels. The file is fetched for its header."""

    found: Annotated[
        tuple[RequiresDetection, ...],
        Field(max_length=20),
        BeforeValidator(
            lambda value: [value] if isinstance(value, Mapping | RequiresDetection) else value
        ),
    ] = ()
    """What other detectors of the pool must have found; one such condition, or a list."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_for_null(cls, value: object) -> object:
        """Take null as not given: Terraform writes it for attributes that are left out."""
        return _without_nulls(value)

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse a route that says nothing, or that nothing can meet."""
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
        """Return whether S3 must be asked for the object's type and metadata."""
        return bool(self.content_type or self.metadata)

    @property
    def needs_tags(self) -> bool:
        """Return whether S3 must be asked for the object's tags."""
        return bool(self.tags)

    @property
    def needs_size_px(self) -> bool:
        """Return whether the file's header must be read."""
        sides = (self.min_width_px, self.max_width_px, self.min_height_px, self.max_height_px)
        return any(sides)


def check_routes(routes: Mapping[str, Route], detectors: Collection[str]) -> None:
    """Refuse routes that speak of detectors which the pool does not have, or that go in a circle.

    Raises:
        ValueError: Says which route, and the remedy.
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
        circle = " waits for ".join(reversed(error.args[1]))
        raise ValueError(f"{circle}: take one of these found conditions away") from None


def _without_nulls(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return {name: item for name, item in value.items() if item is not None}
