"""Thumbnails, views and originals of images."""

import textwrap
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID
from xml.sax.saxutils import escape

from pydantic import Field
from starlette.responses import Response

from retinue_console.page import Call, NotFoundError, Parameters
from retinue_console.pictures.pictures import NoPictureError, NoStillError, PictureKind

_FOR_A_MONTH = "private, max-age=2592000, immutable"
"""Browsers keep pictures this long, and don't ask again meanwhile."""

_FOR_MINUTES = "private, max-age=300"
"""Browsers keep pictures of videos this long: they change when something is found."""

MAX_DURATION_MS = 86_400_000
"""Maximum time in a video, in milliseconds: a day. Longer videos aren't decoded."""

Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

_LINES = 8
_CHARACTERS = 34


class PictureParameters(Parameters):
    """The parameters of a picture."""

    image_id: UUID
    """The image."""


class ThumbnailParameters(PictureParameters):
    """The parameters of a thumbnail."""

    at: int | None = Field(default=None, ge=0, le=MAX_DURATION_MS)
    """The time in a video, in milliseconds; by default, of its most certain detection."""


def thumbnail(call: Call[ThumbnailParameters]) -> Response:
    """Answer with a small picture, at most 320 pixels wide and high."""
    return _picture(call, PictureKind.THUMBNAIL, at_ms=call.parameters.at)


def view(call: Call[PictureParameters]) -> Response:
    """Answer with a picture for the screen, at most 1,600 pixels wide and high."""
    return _picture(call, PictureKind.VIEW)


class PatchParameters(PictureParameters):
    """The parameters of a part of a picture."""

    left: Ratio
    """Its left side, 0 to 1."""

    top: Ratio
    """Its top, 0 to 1."""

    right: Ratio
    """Its right side, 0 to 1."""

    bottom: Ratio
    """Its bottom, 0 to 1."""


def patch(call: Call[PatchParameters]) -> Response:
    """Answer with a part, cut out of the original, at most 320 pixels wide and high."""
    given = call.parameters
    return _picture(call, PictureKind.PATCH, (given.left, given.top, given.right, given.bottom))


def original(call: Call[PictureParameters]) -> Response:
    """Answer with the file itself, to be saved and never shown by the browser."""
    image_id = call.parameters.image_id
    try:
        found = call.services.pictures.original(image_id)
    except NoPictureError as error:
        raise NotFoundError(f"The file isn't available: {error}.") from error
    if found is None:
        raise NotFoundError(f"There is no image {image_id}.")
    key, data = found
    name = quote(PurePosixPath(key).name or str(image_id), safe="")
    return Response(
        data,
        media_type="application/octet-stream",
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        },
    )


def _picture(
    call: Call[Any],
    kind: PictureKind,
    part: tuple[float, float, float, float] | None = None,
    at_ms: int | None = None,
) -> Response:
    image_id = call.parameters.image_id
    try:
        picture = call.services.pictures.picture(image_id, kind, part, at_ms)
    except NoStillError as error:
        return Response(
            _film(str(error)),
            media_type="image/svg+xml",
            headers={"Cache-Control": "private, no-cache", "Retinue-Picture": "none"},
        )
    except NoPictureError as error:
        return Response(
            _placeholder(str(error)),
            media_type="image/svg+xml",
            headers={"Cache-Control": "private, no-cache", "Retinue-Picture": "none"},
        )
    if picture is None:
        raise NotFoundError(f"There is no image {image_id}.")
    kept = _FOR_A_MONTH if picture.is_lasting else _FOR_MINUTES
    return Response(picture.webp, media_type="image/webp", headers={"Cache-Control": kept})


def _lines(reason: str, middle: int) -> str:
    """Draw the reason why there is no picture."""
    text = "".join(character for character in reason if character.isprintable())
    lines = ["No picture", *textwrap.wrap(text, _CHARACTERS, max_lines=_LINES, placeholder=" …")]
    return "".join(
        f'<text x="160" y="{middle + (2 * number - len(lines)) * 11}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )


def _placeholder(reason: str) -> str:
    """Return a picture that says why there is none."""
    drawn = _lines(reason, 120)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240" width="320" height="240">'
        '<rect width="320" height="240" fill="#dfe4ea"/>'
        '<g fill="#16202b" font-family="sans-serif" font-size="15" text-anchor="middle">'
        f"{drawn}</g>"
        "</svg>"
    )


def _film(reason: str) -> str:
    """Return the picture of a video: a film, the sign for playing it, and why there is no still."""
    holes = "".join(
        f'<rect x="{x}" y="{y}" width="16" height="16" rx="3"/>'
        for x in (16, 288)
        for y in range(16, 240, 32)
    )
    top, drawn = (60, _lines(reason, 190)) if reason else (80, "")
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240" width="320" height="240">'
        '<rect width="320" height="240" fill="#2b333c"/>'
        f'<g fill="#dfe4ea"><path d="M135 {top}v80l65-40z"/>{holes}</g>'
        '<g fill="#dfe4ea" font-family="sans-serif" font-size="14" text-anchor="middle">'
        f"{drawn}</g>"
        "</svg>"
    )
