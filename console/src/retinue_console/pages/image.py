"""One image: the picture with its boxes, all runs, the other versions."""

import json
from uuid import UUID

from starlette.responses import Response

from retinue_console.access.identity import Right
from retinue_console.access.people import without_people
from retinue_console.page import Call, NotFoundError, Page, Parameters
from retinue_console.queries.image import Image, find_image, raw_response


class ImageParameters(Parameters):
    """The parameters of an image's page."""

    image_id: UUID
    """The image."""

    run: tuple[int, ...] = ()
    """Runs to show instead of the latest ones of their detectors."""


class ResponseParameters(Parameters):
    """The parameters of a detector's unprocessed answer."""

    image_id: UUID
    """The image."""

    run_id: int
    """The run."""


def image(call: Call[ImageParameters]) -> Page[Image]:
    """Show an image with its detections, or a video with its appearances."""
    image_id = call.parameters.image_id
    with call.database.read() as connection:
        found = find_image(connection, image_id, chosen=call.parameters.run)
    if found is None:
        raise NotFoundError(f"There is no image {image_id}.")
    template = "video.html" if found.is_video else "image.html"
    return Page(template, found.key, found, rows=found.detections)


def response(call: Call[ResponseParameters]) -> Response:
    """Answer with the unprocessed answer of a run."""
    given = call.parameters
    with call.database.read() as connection:
        text = raw_response(connection, given.image_id, given.run_id)
    if text is None:
        raise NotFoundError(f"Run {given.run_id} of image {given.image_id} kept no answer.")
    if not call.identity.may(Right.ADMIN):
        text = json.dumps(without_people(json.loads(text)), ensure_ascii=False)
    return Response(text, media_type="application/json", headers={"Cache-Control": "no-store"})
