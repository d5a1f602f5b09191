"""Convert Rekognition's answers to findings, without losing data.

The rules are the same for every operation:

- Each thing that AWS finds becomes a detection, in AWS's order. Its properties become attributes,
  with AWS's names and units: confidences inside attributes stay 0 to 100.
- Three values move from the attributes to columns: the name (label), the confidence (0 to 1) and
  the bounding box. If a column can't represent the value exactly (a missing edge, a confidence of
  100.00001, an empty or long name), the original also stays in the attributes.
- Fields that AWS adds later become attributes.
- A finding without a confidence gets 0.
- The whole answer is the run's raw response.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeAlias

from retinue_sdk import BoundingBox, Detection, Findings, Json
from retinue_sdk.detection import MAX_LABEL_BYTES

from retinue_rekognition.json_clean import clean, clean_text

Item: TypeAlias = Mapping[str, Any]
"""A JSON object of an answer."""

_OF_THE_LABEL: tuple[str, ...] = ("Parents", "Categories", "Aliases")
"""Properties of a label that also apply to each of its instances."""

_VERSIONS = (
    "LabelModelVersion",
    "ModerationModelVersion",
    "TextModelVersion",
    "ProtectiveEquipmentModelVersion",
    "FaceModelVersion",
)
_ANY_VERSION = frozenset(_VERSIONS)


def labels(response: Item) -> Findings:
    """Return the findings of DetectLabels.

    Each label is a detection without a box, with the label's confidence. Each of its instances is a
    detection with a box, with the instance's confidence and the label's parents, categories and
    aliases. So count things by detections with boxes, and find images by the others. If an instance
    has an incomplete box, the label's attributes keep all instances, because a detection without a
    box would count as another label.
    """
    answer = cleaned(response)
    found: list[Detection] = []
    for label in _items(answer, "Labels"):
        instances = label.get("Instances")
        rest = dict(label)
        placed: list[Detection] = []
        if instances:
            shared = {key: label[key] for key in _OF_THE_LABEL if key in label}
            for instance in items(instances):
                item = {"Name": label.get("Name"), **shared, **instance}
                detection = _detection("label", item, "Name")
                if detection.box is not None:
                    placed.append(detection)
        if isinstance(instances, list) and len(placed) == len(instances):
            del rest["Instances"]
        found.append(_detection("label", rest, "Name"))
        found += placed
    properties = answer.get("ImageProperties")
    if isinstance(properties, dict):
        found.append(Detection("image_properties", "ImageProperties", 1.0, attributes=properties))
    return _findings(answer, found)


def faces(response: Item) -> Findings:
    """Return the findings of DetectFaces: a detection for each face."""
    answer = cleaned(response)
    return _findings(answer, [as_face(face) for face in _items(answer, "FaceDetails")])


def moderation(response: Item) -> Findings:
    """Return the findings of DetectModerationLabels.

    A detection for each label of the taxonomy (ParentName and TaxonomyLevel are attributes), and
    one of kind ``content_type`` for each content type.
    """
    answer = cleaned(response)
    found = [as_detection("moderation", i, name="Name") for i in _items(answer, "ModerationLabels")]
    found += [as_detection("content_type", i, name="Name") for i in _items(answer, "ContentTypes")]
    return _findings(answer, found)


def text(response: Item) -> Findings:
    """Return the findings of DetectText: a detection for each line and each word (``Type``).

    A word's ParentId is the Id of its line.
    """
    answer = cleaned(response)
    found = [
        as_detection("text", item, name="DetectedText", box_in="Geometry")
        for item in _items(answer, "TextDetections")
    ]
    return _findings(answer, found)


def celebrities(response: Item) -> Findings:
    """Return the findings of RecognizeCelebrities: a detection for each celebrity and face."""
    answer = cleaned(response)
    found = [
        as_detection(
            "celebrity",
            item,
            name="Name",
            confidence="MatchConfidence",
            box_in="Face",
        )
        for item in _items(answer, "CelebrityFaces")
    ]
    found += [as_face(face) for face in _items(answer, "UnrecognizedFaces")]
    return _findings(answer, found)


def custom_labels(response: Item) -> Findings:
    """Return the findings of DetectCustomLabels: a detection for each label or place.

    A label without a box applies to the whole image. AWS bills the model's hours, not images.
    """
    answer = cleaned(response)
    found = [
        as_detection("custom_label", item, name="Name", box_in="Geometry")
        for item in _items(answer, "CustomLabels")
    ]
    return _findings(answer, found, billed_units=0)


def protective_equipment(response: Item) -> Findings:
    """Return the findings of DetectProtectiveEquipment.

    A detection for each person, each of their body parts (which have no box) and each piece of
    equipment. PersonId and BodyPart refer to the person and body part. A person's Summary has the
    names of the summary's lists with the person.
    """
    answer = cleaned(response)
    summary = answer.get("Summary")
    found: list[Detection] = []
    for person in _items(answer, "Persons"):
        of_person = {"PersonId": person.get("Id")}
        where = _lists_with(summary, person.get("Id"))
        attributes = without(person, "BodyParts") | ({"Summary": where} if where else {})
        found.append(as_detection("person", attributes, label="Person"))
        for part in _items(person, "BodyParts"):
            of_part = of_person | {"BodyPart": part.get("Name")}
            found.append(
                as_detection(
                    "body_part", of_person | without(part, "EquipmentDetections"), name="Name"
                )
            )
            found += (
                as_detection("protective_equipment", of_part | item, name="Type")
                for item in _items(part, "EquipmentDetections")
            )
    return _findings(answer, found)


def compared_faces(response: Item, *, person: str) -> Findings:
    """Return the findings of CompareFaces.

    Each face that is similar to the reference's is a detection of kind ``face_match``, with the
    similarity as its confidence. Each other face is one of kind ``face``.

    Args:
        response: The answer.
        person: The label of a match.
    """
    answer = cleaned(response)
    found = [
        as_detection(
            "face_match",
            item,
            label=person,
            confidence="Similarity",
            box_in="Face",
        )
        for item in _items(answer, "FaceMatches")
    ]
    found += [as_face(face) for face in _items(answer, "UnmatchedFaces")]
    return _findings(answer, found)


def searched_faces(
    raw_response: Item, searched: Sequence[tuple[Item, Sequence[Item]]], *, billed_units: int
) -> Findings:
    """Return the findings of a search for every face of an image in a collection.

    Each face is a detection of kind ``face``. Each similar face of the collection is one of kind
    ``face_match``. Its label is the user id, external image id or face id, its confidence is the
    similarity, and its box is that of the face *in this image*.

    Args:
        raw_response: All answers, by operation.
        searched: The attributes and the matches of each face in the image.
        billed_units: Number of billed images.
    """
    found: list[Detection] = []
    for face, matches in searched:
        here = as_face(cleaned(face))
        found.append(here)
        found += [replace(as_face_match(cleaned(match)), box=here.box) for match in matches]
    return _findings(cleaned(raw_response), found, billed_units)


def model_version(answer: Any) -> str | None:
    """Return the model version anywhere in the answers; ``None`` if there is none."""
    if isinstance(answer, dict):
        if not _ANY_VERSION.isdisjoint(answer):
            for key in _VERSIONS:
                version = answer.get(key)
                if isinstance(version, str) and version:
                    return version
        answer = answer.values()
    for inner in answer:
        if isinstance(inner, dict | list) and (version := model_version(inner)):
            return version
    return None


def items(value: Any) -> list[dict[str, Any]]:
    """Return the JSON objects of a list, without nulls; empty if it isn't a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def bounding_box(value: Any) -> BoundingBox | None:
    """Return AWS's BoundingBox; ``None`` if an edge is missing or it isn't a rectangle."""
    if not isinstance(value, dict):
        return None
    left = _number(value.get("Left"))
    top = _number(value.get("Top"))
    width = _number(value.get("Width"))
    height = _number(value.get("Height"))
    if left is None or top is None or width is None or height is None:
        return None
    return BoundingBox(left, top, width, height) if width >= 0 and height >= 0 else None


def _findings(answer: Item, found: Sequence[Detection], billed_units: int = 1) -> Findings:
    return Findings(
        detections=tuple(found),
        raw_response=answer,
        model_version=model_version(answer),
        billed_units=Decimal(billed_units),
    )


def as_face(face: Item) -> Detection:
    """Return AWS's FaceDetail as a detection."""
    return as_detection("face", face, label="Face")


def as_face_match(match: Item) -> Detection:
    """Return AWS's FaceMatch as a detection without a box."""
    known = json_object(match.get("Face"))
    names = (known.get(key) for key in ("UserId", "ExternalImageId", "FaceId"))
    name = next((name for name in names if isinstance(name, str) and name), "Unknown")
    return as_detection("face_match", match, label=name, confidence="Similarity")


def as_detection(
    kind: str,
    item: Item,
    *,
    name: str | None = None,
    label: str = "",
    confidence: str = "Confidence",
    box_in: str | None = None,
) -> Detection:
    """Return a detection.

    Args:
        kind: Its kind.
        item: AWS's object. Its fields become columns or attributes.
        name: The field with the label.
        label: The label, if no field has it.
        confidence: The field with the confidence.
        box_in: The field with the BoundingBox, if it isn't the item itself.
    """
    return _detection(kind, dict(item), name, label, confidence, box_in)


def _detection(
    kind: str,
    attributes: dict[str, Any],
    name: str | None,
    label: str = "",
    confidence: str = "Confidence",
    box_in: str | None = None,
) -> Detection:
    """Return a detection as ``as_detection`` does, with the rest of ``attributes`` in it."""
    called = label if name is None else attributes.get(name)
    label = _fitting(called) or kind
    if name is not None and label == called:
        del attributes[name]
    percent = _number(attributes.get(confidence))
    if percent is None:
        percent = 0.0
    elif 0 <= percent <= 100:
        del attributes[confidence]
    else:
        percent = min(max(0.0, percent), 100.0)
    place: Any = attributes if box_in is None else attributes.get(box_in)
    edges: Any = place.get("BoundingBox") if isinstance(place, dict) else None
    box = None if edges is None else bounding_box(edges)
    if box is not None and len(edges) == 4:
        if box_in is None:
            del attributes["BoundingBox"]
        else:
            attributes[box_in] = without(place, "BoundingBox")
    return Detection(kind, label, abs(percent) / 100, box, attributes)  # -0.0 is nothing, too


def _fitting(name: Any) -> str:
    """Return a name as a label: truncated to the history's limit; empty if it isn't a text."""
    if not isinstance(name, str):
        return ""
    if name.isascii() and "\0" not in name and len(name) <= MAX_LABEL_BYTES:
        return name  # the usual case
    return clean_text(name).encode()[:MAX_LABEL_BYTES].decode(errors="ignore")


def _number(value: Any) -> float | None:
    """Return a JSON number; ``None`` for a huge one or another value."""
    if type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def without(item: Item, key: str) -> dict[str, Any]:
    """Return the item without one key."""
    rest = dict(item)
    rest.pop(key, None)
    return rest


def _items(item: Item, key: str) -> list[dict[str, Any]]:
    return items(item.get(key))


def _lists_with(summary: Any, person_id: Any) -> list[str]:
    """Return the names of the summary's lists that contain the person."""
    if person_id is None or not isinstance(summary, dict):
        return []
    return [key for key, ids in summary.items() if isinstance(ids, list) and person_id in ids]


def cleaned(response: Item) -> dict[str, Json]:
    """Return an answer without parts that JSON or Postgres can't store."""
    return json_object(clean(dict(response)))


def json_object(value: Any) -> dict[str, Any]:
    """Return a JSON object; an empty one for another value."""
    return value if isinstance(value, dict) else {}
