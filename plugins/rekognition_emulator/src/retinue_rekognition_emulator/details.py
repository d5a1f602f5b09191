"""Faces, texts and labels in the shapes that images and videos share."""

from typing import Any

from retinue_rekognition_emulator.images import Face

Answer = dict[str, Any]

LABELS = (
    ("Person", ["Human"], "Person Description"),
    ("Car", ["Vehicle", "Transportation"], "Vehicles and Automotive"),
    ("Dog", ["Canine", "Pet", "Mammal", "Animal"], "Animals and Pets"),
    ("Beach", ["Coast", "Nature", "Outdoors"], "Nature and Outdoors"),
    ("Chair", ["Furniture"], "Furniture and Furnishings"),
    ("Plate", ["Food"], "Food and Beverage"),
)
"""Labels: name, ancestors from parent to root, category."""


def face_detail(face: Face, every: bool) -> Answer:
    """Return a face with the default attributes, or with every one."""
    box = face.box
    told: Answer = {
        "BoundingBox": box,
        "Confidence": 99.99,
        "Landmarks": [
            {"Type": kind, "X": box["Left"] + box["Width"] * x, "Y": box["Top"] + 0.1}
            for kind, x in (("eyeLeft", 0.3), ("eyeRight", 0.7), ("eyeRight", 0.71))
        ],
        "Pose": {"Roll": 1.5, "Yaw": -20.25, "Pitch": 3.0},
        "Quality": {"Brightness": 80.5, "Sharpness": 160.0},
    }
    if not every:
        return told
    yes_or_no = ("Smile", "Eyeglasses", "Sunglasses", "Beard", "Mustache", "EyesOpen", "MouthOpen")
    return (
        told
        | {name: {"Value": False, "Confidence": 95.0} for name in (*yes_or_no, "FaceOccluded")}
        | {
            "AgeRange": {"Low": 20, "High": 30},
            "Gender": {"Value": "Female", "Confidence": 99.0},
            "Emotions": [
                {"Type": "CALM", "Confidence": 90.0},
                {"Type": "HAPPY", "Confidence": 9.0},
            ],
            "EyeDirection": {"Yaw": 1.0, "Pitch": -2.0, "Confidence": 99.0},
        }
    )


def text_detection(number: int, kind: str, words: str) -> Answer:
    """Return a line or a word. The number decides its place."""
    box = {"Width": 0.3, "Height": 0.1, "Left": 0.1, "Top": 0.1 + number * 0.15}
    corners = [(0, 0), (0.3, 0), (0.3, 0.1), (0, 0.1)]
    polygon = [{"X": box["Left"] + x, "Y": box["Top"] + y} for x, y in corners]
    return {
        "DetectedText": words,
        "Type": kind,
        "Id": number,
        "Confidence": 98.75,
        "Geometry": {"BoundingBox": box, "Polygon": polygon},
    }
