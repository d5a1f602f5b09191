"""The file of a video, in parts as browsers ask for them."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from uuid import UUID

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from retinue_console.page import Call, NotFoundError, Parameters
from retinue_console.pictures.pictures import NoPictureError, Pictures

PART_BYTES = 2**21
"""Maximum number of bytes of an answer to a request for a part. Browsers ask for the next one."""

_TYPES = {".webm": "video/webm", ".mkv": "video/webm", ".3gp": "video/3gpp", ".avi": "video/avi"}
"""Content types by suffix. All others are MP4, or similar enough to be played as such."""

_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{1,15})?")


class VideoParameters(Parameters):
    """The parameters of a video's file."""

    image_id: UUID
    """The video."""


def video_file(call: Call[VideoParameters]) -> Response:
    """Answer with the file, or the part of it that the header Range names."""
    image_id = call.parameters.image_id
    with call.database.read() as connection:
        row = connection.execute(
            "SELECT key FROM images WHERE image_id = %s", [image_id]
        ).fetchone()
    if row is None:
        raise NotFoundError(f"There is no video {image_id}.")
    suffix = PurePosixPath(row[0]).suffix.lower()
    return _VideoResponse(call.services.pictures, image_id, _TYPES.get(suffix, "video/mp4"))


class _VideoResponse(Response):
    """Sends a file, or a part of it."""

    def __init__(self, pictures: Pictures, image_id: UUID, media_type: str) -> None:
        super().__init__(media_type=media_type)
        self._pictures = pictures
        self._image_id = image_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer to the request."""
        answer = await run_in_threadpool(self._answer, Request(scope).headers.get("range"))
        await answer(scope, receive, send)

    def _answer(self, wanted: str | None) -> Response:
        # Not to be compressed: ranges are of the file itself.
        headers = {
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, no-cache",
            "Content-Encoding": "identity",
        }
        match = None if wanted is None else _RANGE.fullmatch(wanted.strip())
        first = 0 if match is None else int(match[1])
        last = first + PART_BYTES - 1
        if match is not None and match[2] is not None:
            last = min(last, int(match[2]))
        try:
            found = self._pictures.original_part(self._image_id, first, max(1, last - first + 1))
        except NoPictureError as error:
            return Response(f"The file isn't available: {error}.\n", 404, media_type="text/plain")
        if found is None:
            return Response("The video was removed.\n", 404, media_type="text/plain")
        data, total = found
        if match is None:
            headers["Content-Length"] = str(total)
            parts = self._parts(data, total)
            return StreamingResponse(parts, headers=headers, media_type=self.media_type)
        if not data or last < first:
            headers["Content-Range"] = f"bytes */{total}"
            return Response(status_code=416, headers=headers, media_type=self.media_type)
        headers["Content-Range"] = f"bytes {first}-{first + len(data) - 1}/{total}"
        return Response(data, 206, headers, self.media_type)

    def _parts(self, data: bytes, total: int) -> Iterator[bytes]:
        at = 0
        while data:
            yield data
            at += len(data)
            if at >= total:
                return
            found = self._pictures.original_part(self._image_id, at, PART_BYTES)
            data = b"" if found is None else found[0]
