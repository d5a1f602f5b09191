"""A face collection, as the search needs it."""

import time
from collections.abc import Iterable, Iterator, Mapping
from threading import Lock
from typing import Any
from uuid import UUID

from retinue_sdk import DetectorError, DetectorNotReadyError

from retinue_rekognition.api import Api
from retinue_rekognition.convert import items

TEMPORARY = "retinue-temporary"
"""Beginning of the external image id of faces that are deleted as soon as they were searched."""

KEPT = "retinue"
"""Beginning of the external image id of unknown faces that are kept."""

STALE_SECONDS = 900.0
"""Age at which a temporary face belongs to no search any more: its worker has died."""

PAGE = 4_096
"""Most faces that ListFaces tells and DeleteFaces deletes at once."""


class FaceCollection:
    """One collection. Safe to use from several threads.

    Args:
        api: Rekognition.
        collection_id: The collection's id.
    """

    def __init__(self, api: Api, collection_id: str) -> None:
        """Call nothing yet."""
        self._api = api
        self._collection_id = collection_id
        self._lock = Lock()
        self._to_delete: set[str] = set()

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation on this collection, at its pace.

        Raises:
            DetectorError: It failed.
        """
        return self._api.call(operation, {"CollectionId": self._collection_id, **parameters})

    def face_model_version(self) -> str | None:
        """The model version of the collection's faces.

        Raises:
            DetectorNotReadyError: There is no such collection.
        """
        try:
            version = self.call("DescribeCollection").get("FaceModelVersion")
        except DetectorNotReadyError as error:
            raise DetectorNotReadyError(
                f"option collection_id: {self._collection_id!r} in {self._api.region} "
                f"cannot be used: {error}"
            ) from error
        return version if isinstance(version, str) else None

    def delete(self, face_ids: Iterable[str]) -> None:
        """Delete faces, and those whose deletion failed before.

        Raises:
            DetectorError: It failed; they are deleted with the next ones.
        """
        with self._lock:
            self._to_delete |= set(face_ids)
            waiting = sorted(self._to_delete)
        for start in range(0, len(waiting), PAGE):
            batch = waiting[start : start + PAGE]
            self.call("DeleteFaces", FaceIds=batch)
            with self._lock:
                self._to_delete -= set(batch)

    def sweep(self) -> int:
        """Delete temporary faces that a worker left behind when it died.

        Returns:
            How many there were.

        Raises:
            DetectorError: It failed.
        """
        oldest = time.time() - STALE_SECONDS
        stale = [
            str(face.get("FaceId"))
            for face in self._faces()
            if (since := temporary_since(face)) is not None and since < oldest
        ]
        if stale:
            self.delete(stale)
        return len(stale)

    def close(self) -> None:
        """Try once more to delete what could not be deleted."""
        try:
            if self._to_delete:
                self.delete(())
        except DetectorError:
            return  # the next start sweeps

    def _faces(self) -> Iterator[dict[str, Any]]:
        page: dict[str, Any] = {}
        while True:
            token = page.get("NextToken")
            more = {"NextToken": token} if token else {}
            page = self.call("ListFaces", MaxResults=PAGE, **more)
            yield from items(page.get("Faces"))
            if not page.get("NextToken"):
                return


def temporary_id(image_id: UUID) -> str:
    """An external image id for faces that must not stay; it says since when they are there."""
    return f"{TEMPORARY}:{int(time.time())}:{image_id}"


def kept_id(image_id: UUID) -> str:
    """The external image id for an image's unknown faces, the same whenever it is indexed."""
    return f"{KEPT}:{image_id}"


def temporary_since(face: Mapping[str, Any]) -> float | None:
    """Since when a temporary face is there, in Unix seconds; ``None`` if it is not temporary."""
    mark, _, rest = str(face.get("ExternalImageId", "")).partition(":")
    if mark != TEMPORARY:
        return None
    try:
        return float(rest.partition(":")[0])
    except ValueError:
        return 0.0
