"""The detector ``onnx-pose``: people and 17 points of their bodies."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from retinue_sdk import Detection, Json

from retinue_onnx.detector import OnnxDetector
from retinue_onnx.options import OnnxOptions

if TYPE_CHECKING:
    from retinue_onnx.layout import Network
    from retinue_onnx.letterbox import Placement
    from retinue_onnx.movenet import People
    from retinue_onnx.session import OnnxSession

KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
    "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
"""COCO's names, in COCO's order. Left and right are the person's own."""


class OnnxPoseOptions(OnnxOptions):
    """Options of ``onnx-pose``."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Minimum confidence of a person, 0 to 1: the mean of the visible points' confidences, times
    that of the person's centre.
    """

    max_side_px: Annotated[int, Field(ge=128, le=1024, multiple_of=32)] = 256
    """Side of the image in pixels, for which it is resized. Raise it to find people who are less
    than a tenth of the image's height. Doubling the side takes four times as long.
    """


class OnnxPoseDetector(OnnxDetector[OnnxPoseOptions, "People"]):
    """Finds up to six people with 17 points each: MoveNet multipose."""

    name: ClassVar[str] = "onnx-pose"
    version: ClassVar[str] = "1"
    bundled_model: ClassVar[str] = "movenet.onnx"

    def _layout(self, session: "OnnxSession") -> "Network[People]":
        from retinue_onnx.movenet import CHANNELS, MULTIPLE_PX, STRIDE_PX, MoveNet

        side = MULTIPLE_PX // STRIDE_PX
        outputs = {name: (channels, side, side) for name, channels in CHANNELS.items()}
        session.require("MoveNet multipose", (MULTIPLE_PX, MULTIPLE_PX), outputs)
        return MoveNet(self.options.max_side_px)

    def _detections(self, found: "People", placement: "Placement") -> list[Detection]:
        from retinue_onnx.boxes import bounding_boxes

        boxes = bounding_boxes(found.boxes, placement)
        points = placement.to_ratios(found.boxes.points).astype(float).tolist()
        return [
            Detection("pose", "person", min(float(score), 1.0), box, {"keypoints": keypoints})
            for score, box, keypoints in zip(
                found.boxes.scores,
                boxes,
                map(_keypoints, points, found.likelihoods.astype(float).tolist()),
                strict=True,
            )
        ]


def _keypoints(points: list[list[float]], likelihoods: list[float]) -> list[Json]:
    """Return the points as JSON: names, positions in ratios of the image, and confidences."""
    return [
        {"type": name, "x": round(x, 5), "y": round(y, 5), "confidence": round(likelihood, 4)}
        for name, (x, y), likelihood in zip(KEYPOINTS, points, likelihoods, strict=True)
    ]
