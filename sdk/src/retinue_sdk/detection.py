"""Detections and findings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from functools import lru_cache

from retinue_sdk.box import BoundingBox
from retinue_sdk.json_value import Json

MAX_LABEL_BYTES = 2_048
"""The longest label that the history stores, in bytes of UTF-8. Labels are indexed."""

MAX_INTEGER = 2**31 - 1
"""The greatest time in milliseconds (24 days), and the greatest track: Postgres' integer."""

_KIND = re.compile(r"[a-z][a-z0-9_]{0,62}")


@lru_cache
def _is_kind(kind: str) -> bool:
    """Return whether a text is a valid kind. The result is cached, because kinds are few."""
    return _KIND.fullmatch(kind) is not None


@dataclass(frozen=True, slots=True, init=False)
class Detection:
    """One thing found in one image, or one appearance of it in a video.

    Attributes:
        kind: The sort of thing, in snake_case: ``label``, ``face``, ``text``,
            ``moderation`` …; 1 to 63 characters.
        label: Its name (``Dog``, the recognized text, a person's name); 1 to 2,048 bytes of
            UTF-8.
        confidence: The detector's confidence, 0 to 1.
        box: Its position, or ``None`` if it applies to the whole image.
        attributes: Other values of the detector (landmarks, parents, pose), as JSON. Queried in
            SQL as ``attributes``.
        start_ms: In a video, when it appears, in milliseconds from the first frame; 0 to
            2,147,483,647. ``None`` in an image.
        end_ms: When it is last seen, at least ``start_ms``: equal to it for a single moment. Set
            with ``start_ms``.
        track: The number of the object that appears, 0 or more: a hint that appearances with the
            same number in one answer show the same object. ``None`` if it isn't reported.

    Raises:
        ValueError: A value is outside its range, or a text cannot be stored (NUL characters and
            unpaired surrogates).
        TypeError: A value has another type.
    """

    kind: str
    label: str
    confidence: float
    box: BoundingBox | None = None
    attributes: Mapping[str, Json] = field(default_factory=dict)
    start_ms: int | None = None
    end_ms: int | None = None
    track: int | None = None

    def __init__(
        self,
        kind: str,
        label: str,
        confidence: float,
        box: BoundingBox | None = None,
        attributes: Mapping[str, Json] | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        track: int | None = None,
    ) -> None:
        # The method that a frozen dataclass generates takes twice the time.
        _set_kind(self, kind)
        _set_label(self, label)
        _set_confidence(self, confidence)
        _set_box(self, box)
        _set_attributes(self, {} if attributes is None else attributes)
        _set_start_ms(self, start_ms)
        _set_end_ms(self, end_ms)
        _set_track(self, track)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for a detection that the database can't store."""
        if not _is_kind(self.kind):
            raise ValueError(f"a detection's kind must be snake_case, not {self.kind!r}")
        label = self.label
        try:
            size_bytes = len(label) if label.isascii() else len(label.encode())
        except UnicodeEncodeError as error:
            raise ValueError(f"a detection's label is not valid text: {label!r}") from error
        except AttributeError as error:
            raise TypeError(f"a detection's label must be text, not {label!r}") from error
        if "\0" in label:
            raise ValueError(f"a detection's label cannot contain NUL: {label!r}")
        if not 0 < size_bytes <= MAX_LABEL_BYTES:
            raise ValueError(
                f"a detection's label must have 1 to {MAX_LABEL_BYTES} bytes, not {size_bytes}"
            )
        confidence = self.confidence
        if type(confidence) is not float:
            try:
                confidence = float(confidence)
            except (TypeError, ValueError) as error:
                message = f"a detection's confidence must be a number, not {confidence!r}"
                raise type(error)(message) from error
            object.__setattr__(self, "confidence", confidence)
        if not 0.0 <= confidence <= 1.0:  # also refuses NaN
            raise ValueError(f"a detection's confidence must be 0 to 1, not {confidence!r}")
        attributes = self.attributes
        if type(attributes) is not dict and not isinstance(attributes, Mapping):
            raise TypeError(
                "a detection's attributes must be a dict, or another mapping, not "
                f"{type(attributes).__name__}"
            )
        if self.start_ms is not None or self.end_ms is not None or self.track is not None:
            self._check_time()

    def _check_time(self) -> None:
        """Raise ``ValueError`` for a time or track that the database can't store."""
        start_ms, end_ms, track = self.start_ms, self.end_ms, self.track
        for name, value in (("start_ms", start_ms), ("end_ms", end_ms), ("track", track)):
            if value is not None and (type(value) is not int or not 0 <= value <= MAX_INTEGER):
                raise ValueError(
                    f"a detection's {name} must be a whole number from 0 to {MAX_INTEGER}, "
                    f"not {value!r}"
                )
        if start_ms is None or end_ms is None:
            raise ValueError("a detection with a time or a track needs both start_ms and end_ms")
        if end_ms < start_ms:
            raise ValueError(
                f"a detection can't end ({end_ms} ms) before it starts ({start_ms} ms)"
            )


(
    _set_kind,
    _set_label,
    _set_confidence,
    _set_box,
    _set_attributes,
    _set_start_ms,
    _set_end_ms,
    _set_track,
) = (vars(Detection)[one.name].__set__ for one in fields(Detection))


@dataclass(frozen=True, slots=True)
class Findings:
    """A detector's answer for one image or video.

    Without detections, the detector looked and found nothing.

    Attributes:
        detections: The findings, in the detector's own order.
        raw_response: The complete answer of the model or service, stored with the run.
        model_version: The version that the model reports, if any.
        billed_units: The cost of the call in units of the detector's price, usually images;

    Raises:
        ValueError: ``billed_units`` is negative or not finite.
    """

    detections: tuple[Detection, ...] = ()
    raw_response: Json = None
    model_version: str | None = None
    billed_units: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        """Accept any sequence of detections, and raise ``ValueError`` for invalid billed units."""
        object.__setattr__(self, "detections", tuple(self.detections))
        billed_units = Decimal(self.billed_units)
        if not billed_units.is_finite() or billed_units < 0:  # comparing a Decimal NaN raises
            raise ValueError(f"billed units must be 0 or more, not {billed_units}")
        object.__setattr__(self, "billed_units", billed_units)
