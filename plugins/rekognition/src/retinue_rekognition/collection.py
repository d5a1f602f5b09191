"""A face collection for searches."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from retinue_sdk import DetectorError, DetectorNotReadyError

from retinue_rekognition.api import Api
from retinue_rekognition.convert import items

TEMPORARY = "retinue-temporary"
"""Prefix of the external image ids of faces that are deleted after their search."""

KEPT = "retinue"
"""Prefix of the external image ids of unknown faces that are kept."""

STALE_SECONDS = 900.0
"""Age after which a temporary face is unused, because its worker has died."""

PAGE = 4_096
"""Maximum number of faces in a call of ListFaces and DeleteFaces."""


class FaceCollection:
    """One collection.

    Args:
        api: Rekognition.
        collection_id: The collection's id.
    """

    def __init__(self, api: Api, collection_id: str) -> None:
        self._api = api
        self._collection_id = collection_id
        self._to_delete: set[str] = set()

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation on this collection.

        Raises:
            DetectorError: The call failed.
        """
        return await self._api.call(operation, {"CollectionId": self._collection_id, **parameters})

    async def face_model_version(self) -> str | None:
        """Return the model version of the collection's faces.

        Raises:
            DetectorNotReadyError: The collection doesn't exist.
        """
        try:
            description = await self.call("DescribeCollection")
        except DetectorNotReadyError as error:
            raise DetectorNotReadyError(
                f"option collection_id: {self._collection_id!r} in {self._api.region} "
                f"cannot be used: {error}"
            ) from error
        version = description.get("FaceModelVersion")
        return version if isinstance(version, str) else None

    async def index(self, **parameters: Any) -> dict[str, Any]:
        """Index the faces of an image.

        After a cancellation, delete them when the answer arrives.

        Raises:
            DetectorError: The call failed.
        """
        indexing = asyncio.ensure_future(self.call("IndexFaces", **parameters))
        try:
            return await asyncio.shield(indexing)
        except asyncio.CancelledError:
            with suppress(DetectorError):
                await self.delete(indexed_ids(await indexing))
            raise

    async def delete(self, face_ids: Iterable[str]) -> None:
        """Delete faces, and those whose deletion failed before.

        Raises:
            DetectorError: The call failed. The faces are deleted with the next ones.
        """
        waiting = sorted(self._to_delete.union(face_ids))
        self._to_delete.clear()  # no other call may delete them again
        try:
            while waiting:
                await self.call("DeleteFaces", FaceIds=waiting[:PAGE])
                del waiting[:PAGE]
        finally:
            self._to_delete.update(waiting)

    async def sweep(self) -> int:
        """Delete temporary faces of dead workers, and return their number.

        Raises:
            DetectorError: The call failed.
        """
        oldest = time.time() - STALE_SECONDS
        stale = [
            str(face.get("FaceId"))
            async for face in self._faces()
            if (since := temporary_since(face)) is not None and since < oldest
        ]
        if stale:
            await self.delete(stale)
        return len(stale)

    async def close(self) -> None:
        """Delete the remaining faces, with one try."""
        try:
            if self._to_delete:
                await self.delete(())
        except DetectorError:
            return  # the next start deletes them

    async def _faces(self) -> AsyncIterator[dict[str, Any]]:
        page: dict[str, Any] = {}
        while True:
            token = page.get("NextToken")
            more = {"NextToken": token} if token else {}
            page = await self.call("ListFaces", MaxResults=PAGE, **more)
            for face in items(page.get("Faces")):
                yield face
            if not page.get("NextToken"):
                return


def indexed_ids(answer: Mapping[str, Any]) -> set[str]:
    """Return the ids of the faces that IndexFaces added."""
    faces = (record.get("Face") for record in items(answer.get("FaceRecords")))
    return {str(face.get("FaceId", "")) for face in faces if isinstance(face, dict)}


def temporary_id(image_id: UUID) -> str:
    """Return an external image id for temporary faces. It contains the time."""
    return f"{TEMPORARY}:{int(time.time())}:{image_id}"


def kept_id(image_id: UUID) -> str:
    """Return the external image id of an image's unknown faces, which is always the same."""
    return f"{KEPT}:{image_id}"


def temporary_since(face: Mapping[str, Any]) -> float | None:
    """Return when a temporary face was added, in Unix seconds; ``None`` if it isn't temporary."""
    mark, _, rest = str(face.get("ExternalImageId", "")).partition(":")
    if mark != TEMPORARY:
        return None
    try:
        return float(rest.partition(":")[0])
    except ValueError:
        return 0.0
