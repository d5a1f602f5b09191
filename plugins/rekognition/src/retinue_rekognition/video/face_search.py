"""rekognition-video-face-search: search every face of a video in a collection."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import Field

from retinue_rekognition.collection import FaceCollection, temporary_since
from retinue_rekognition.convert import (
    Item,
    as_detection,
    as_face,
    as_face_match,
    items,
    json_object,
    without,
)
from retinue_rekognition.options import Ratio, percent
from retinue_rekognition.video.appearances import (
    Collector,
    JoinedSamples,
    Sample,
    stored_integer,
    timed,
)
from retinue_rekognition.video.detector import VideoDetector, VideoOptions


class VideoFaceSearchOptions(VideoOptions):
    """The collection and the threshold of the search."""

    collection_id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.\-]+$", max_length=255)]
    """Id of the collection."""

    min_similarity: Ratio = 0.8
    """Minimum similarity of a match, 0 to 1 (the API's own default is 80)."""


class VideoFaceSearchDetector(VideoDetector[VideoFaceSearchOptions]):
    """Searches every face of a video in a collection, by StartFaceSearch."""

    name: ClassVar[str] = "rekognition-video-face-search"
    operation: ClassVar[str] = "StartFaceSearch"
    result_operation: ClassVar[str] = "GetFaceSearch"
    operations: ClassVar[tuple[str, ...]] = (
        "DescribeCollection",
        "StartFaceSearch",
        "GetFaceSearch",
    )
    listed: ClassVar[str] = "Persons"
    read_by: ClassVar[Mapping[str, str]] = {"SortBy": "TIMESTAMP"}

    def __init__(self, options: VideoFaceSearchOptions) -> None:
        super().__init__(options)
        self._face_model_version: str | None = None

    @property
    def model_version(self) -> str | None:
        """Return the model version of the collection's faces."""
        return self._face_model_version

    async def prepare(self) -> None:
        """Find the collection.

        Raises:
            DetectorNotReadyError: The collection doesn't exist, or access is denied.
        """
        collection = FaceCollection(self.api, self.options.collection_id)
        self._face_model_version = await collection.face_model_version()

    def parameters(self) -> dict[str, Any]:
        """Return the collection and the threshold."""
        return {
            "CollectionId": self.options.collection_id,
            "FaceMatchThreshold": percent(self.options.min_similarity),
        }

    def collector(self) -> Collector:
        """Return a collector that joins the samples of a person and of each match."""
        return JoinedSamples(_person)


def _person(item: Item) -> Iterable[Sample]:
    """Return the samples of a person's face and of its matches. The person's index is the track."""
    at_ms, person = timed(without(item, "FaceMatches"), "Person")
    track = stored_integer(person.get("Index"))
    if track is not None:
        del person["Index"]
    face = json_object(person.get("Face"))
    if face:
        body = without(person, "Face")
        here = as_face(face | ({"Person": body} if body else {}))
    else:
        here = as_detection("person", person, label="Person")
    is_unique = track is not None
    yield Sample(at_ms, here, (here.kind, track), is_unique=is_unique, track=track)
    for match in items(item.get("FaceMatches")):
        known = json_object(match.get("Face"))
        if temporary_since(known) is None:
            found = replace(as_face_match(match), box=here.box)
            identity = ("match", track, str(known.get("FaceId")), found.label)
            yield Sample(at_ms, found, identity, is_unique=is_unique, track=track)
