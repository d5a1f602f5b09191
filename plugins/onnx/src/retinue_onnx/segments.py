"""The detector ``onnx-segments``: which pixels belong to people."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from retinue_sdk import BoundingBox, Detection

from retinue_onnx.detector import OnnxDetector
from retinue_onnx.options import OnnxOptions

if TYPE_CHECKING:
    from retinue_onnx.layout import Network
    from retinue_onnx.letterbox import Placement
    from retinue_onnx.selfie import Segment
    from retinue_onnx.session import OnnxSession


class OnnxSegmentOptions(OnnxOptions):
    """Options of ``onnx-segments``."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Minimum confidence, 0 to 1: the mean likelihood of a segment's pixels."""

    min_area: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Minimum area of a segment, as a part of the image's area."""


class OnnxSegmentDetector(OnnxDetector[OnnxSegmentOptions, "list[Segment]"]):
    """Finds the pixels of people who fill much of the image: MediaPipe's selfie segmentation."""

    name: ClassVar[str] = "onnx-segments"
    version: ClassVar[str] = "1"
    bundled_model: ClassVar[str] = "selfie.onnx"

    def _layout(self, session: "OnnxSession") -> "Network[list[Segment]]":
        from retinue_onnx.selfie import SIDE_PX, Selfie

        session.require(
            "selfie segmentation", (SIDE_PX, SIDE_PX), {"person": (1, SIDE_PX, SIDE_PX)}
        )
        return Selfie(self.options.min_area)

    def _detections(
        self,
        found: "list[Segment]",
        placement: "Placement",  # noqa: ARG002 - the canvas is the whole image
    ) -> list[Detection]:
        from retinue_sdk.masks import encode_mask

        return [
            Detection(
                "segment",
                "person",
                min(segment.confidence, 1.0),
                BoundingBox.from_edges(*segment.box, width=1, height=1),
                {"mask": encode_mask(segment.mask), "area": round(segment.area, 4)},
            )
            for segment in found
        ]
