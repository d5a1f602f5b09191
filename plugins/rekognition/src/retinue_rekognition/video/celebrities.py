"""rekognition-video-celebrities: well-known people, and when they appear."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from retinue_rekognition.convert import Item, as_detection, json_object
from retinue_rekognition.video.appearances import Collector, JoinedSamples, Sample, timed
from retinue_rekognition.video.detector import VideoDetector, VideoOptions


class VideoCelebrityDetector(VideoDetector[VideoOptions]):
    """Recognises well-known people in a video, by StartCelebrityRecognition."""

    name: ClassVar[str] = "rekognition-video-celebrities"
    operation: ClassVar[str] = "StartCelebrityRecognition"
    result_operation: ClassVar[str] = "GetCelebrityRecognition"
    operations: ClassVar[tuple[str, ...]] = ("StartCelebrityRecognition", "GetCelebrityRecognition")
    listed: ClassVar[str] = "Celebrities"
    read_by: ClassVar[Mapping[str, str]] = {"SortBy": "TIMESTAMP"}

    def parameters(self) -> dict[str, Any]:
        """Return no parameters."""
        return {}

    def collector(self) -> Collector:
        """Return a collector that joins the samples of a person. Each person is a track."""
        tracks: dict[str, int] = {}

        def celebrity(item: Item) -> Iterable[Sample]:
            at_ms, person = timed(item, "Celebrity")
            # As in images, the box is the face's.
            has_face = bool(json_object(person.get("Face")).get("BoundingBox"))
            found = as_detection(
                "celebrity", person, name="Name", box_in="Face" if has_face else None
            )
            identity = person.get("Id")
            if isinstance(identity, str) and identity:
                track = tracks.setdefault(identity, len(tracks))
                yield Sample(at_ms, found, identity, is_unique=True, track=track)
            else:
                yield Sample(at_ms, found, ("", found.label))

        return JoinedSamples(celebrity)
