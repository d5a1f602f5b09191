"""Points of bodies, as detectors of poses return them in the attribute ``keypoints``."""

from typing import Any

MIN_CONFIDENCE = 0.15
"""Body points below this aren't shown: they are hidden or outside the image."""

LIMBS = (
    ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"),
    ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"),
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
    ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
    ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
    ("nose", "left_eye"), ("left_eye", "left_ear"), ("nose", "right_eye"),
    ("right_eye", "right_ear"),
)  # fmt: skip
"""The points between which lines are drawn."""


def visible_points(stored: Any) -> dict[str, tuple[float, float]]:
    """Return the visible body points by name, as ratios of the image; other values are ignored."""
    found = {}
    for point in stored if isinstance(stored, list) else ():
        match point:
            case {
                "type": str(name),
                "x": int() | float() as x,
                "y": int() | float() as y,
                "confidence": int() | float() as confidence,
            } if confidence >= MIN_CONFIDENCE and abs(x) <= 2 and abs(y) <= 2:
                found[name] = (float(x), float(y))
    return found
