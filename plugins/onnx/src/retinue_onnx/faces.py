"""The detector ``onnx-faces``: faces and their eyes, nose and corners of the mouth."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from retinue_sdk import ConfigurationError, Detection

from retinue_onnx.detector import OnnxDetector
from retinue_onnx.options import OnnxOptions

if TYPE_CHECKING:
    from retinue_onnx.candidates import Candidates
    from retinue_onnx.layout import Layout
    from retinue_onnx.letterbox import Placement
    from retinue_onnx.session import OnnxSession

LANDMARKS = ("eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight")
"""Names of the landmarks in CenterFace's order, left and right from the viewer. The words are
Amazon Rekognition's.
"""


class OnnxFaceOptions(OnnxOptions):
    """Options of ``onnx-faces``."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Minimum confidence, 0 to 1."""

    max_side_px: Annotated[int, Field(ge=32, le=4096, multiple_of=32)] = 1024
    """Maximum side of the image in pixels. Larger images are shrunk. Faces of about 16 pixels are
    still found. Doubling the side takes four times as long.
    """


class OnnxFaceDetector(OnnxDetector[OnnxFaceOptions, "Candidates"]):
    """Finds faces with five landmarks each: CenterFace."""

    name: ClassVar[str] = "onnx-faces"
    version: ClassVar[str] = "1"
    bundled_model: ClassVar[str] = "centerface.onnx"

    def _layout(self, session: "OnnxSession") -> "Layout":
        from retinue_onnx.centerface import CHANNELS, MULTIPLE_PX, STRIDE_PX, CenterFace

        height, width = session.height or MULTIPLE_PX, session.width or MULTIPLE_PX
        outputs = session.probe(height=height, width=width)
        rows, columns = height // STRIDE_PX, width // STRIDE_PX
        expected = [(session.batch or 1, channels, rows, columns) for channels in CHANNELS]
        if [output.shape for output in outputs] != expected:
            found = "; ".join(
                f"{name} {output.shape}"
                for name, output in zip(session.output_names, outputs, strict=True)
            )
            raise ConfigurationError(
                f"option model: its outputs are not CenterFace's. Found for an input of {width} × "
                f"{height} pixels: {found}. Understood: heatmap, scale, offset and landmarks of "
                f"the shapes {expected}"
            )
        return CenterFace(self.options.max_side_px, session.height, session.width)

    def _detections(self, candidates: "Candidates", placement: "Placement") -> list[Detection]:
        from retinue_onnx.boxes import bounding_boxes

        boxes = bounding_boxes(candidates, placement)
        points = placement.to_ratios(candidates.points).astype(float).tolist()
        return [
            Detection("face", "Face", min(float(score), 1.0), box, attributes={"landmarks": marks})
            for score, box, marks in zip(
                candidates.scores, boxes, map(_landmarks, points), strict=True
            )
        ]


def _landmarks(points: list[list[float]]) -> list[dict[str, str | float]]:
    """Return the landmarks as JSON: names and positions in ratios of the image."""
    return [{"type": name, "x": x, "y": y} for name, (x, y) in zip(LANDMARKS, points, strict=True)]
