"""rekognition-video-faces: faces with landmarks, pose, quality, age range, emotions."""

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from retinue_rekognition.convert import Item, as_face
from retinue_rekognition.video.appearances import Collector, JoinedSamples, Sample, timed
from retinue_rekognition.video.detector import VideoDetector, VideoOptions


class VideoFaceOptions(VideoOptions):
    """The attributes of a face that StartFaceDetection returns."""

    attributes: Literal["DEFAULT", "ALL"] = "ALL"
    """Attributes to return for each face.

    ALL is everything; DEFAULT is box, landmarks, pose, quality.
    """


class VideoFaceDetector(VideoDetector[VideoFaceOptions]):
    """Finds faces in a video, by StartFaceDetection."""

    name: ClassVar[str] = "rekognition-video-faces"
    operation: ClassVar[str] = "StartFaceDetection"
    result_operation: ClassVar[str] = "GetFaceDetection"
    operations: ClassVar[tuple[str, ...]] = ("StartFaceDetection", "GetFaceDetection")
    listed: ClassVar[str] = "Faces"

    def parameters(self) -> dict[str, Any]:
        """Return the attributes."""
        return {"FaceAttributes": self.options.attributes}

    def collector(self) -> Collector:
        """Return a collector that joins the samples of a face."""
        return JoinedSamples(_face)


def _face(item: Item) -> Iterable[Sample]:
    at_ms, face = timed(item, "Face")
    yield Sample(at_ms, as_face(face), "face")
