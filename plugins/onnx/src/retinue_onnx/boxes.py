"""Convert boxes on a network's canvas to bounding boxes in the image."""

from retinue_sdk import BoundingBox

from retinue_onnx.candidates import Candidates
from retinue_onnx.letterbox import Placement


def bounding_boxes(candidates: Candidates, placement: Placement) -> list[BoundingBox]:
    """Return the candidates' boxes as ratios of the image. They may be partly outside it."""
    corners = placement.to_ratios(candidates.boxes.reshape(-1, 2, 2)).astype(float)
    return [
        BoundingBox.from_edges(left, top, right, bottom, width=1, height=1)
        for (left, top), (right, bottom) in corners
    ]
