"""Enrol a person: record the consent, then store one face of each photo."""

from collections.abc import Sequence
from dataclasses import dataclass

from retinue_history import HistoryDataError
from retinue_history.privacy.people import Enrolment, IndexedFace, People
from retinue_sdk import BoundingBox

from retinue_cli.faces.errors import FacesError
from retinue_cli.faces.external_id import external_image_id, plain_name
from retinue_cli.faces.photo import Photo
from retinue_cli.faces.service import FaceService
from retinue_cli.options.json_flag import Say

MARGINS = (0.5, 0.2, 0.05)
"""Margins around a cropped face. The first one without a larger face is used."""

SAME_FACE_IOU = 0.3
"""Minimum overlap of the stored face with the intended one."""

MAX_CONSENT_LENGTH = 500
"""Maximum length of a consent's reference, in characters."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """One face of a photo, and the part of the photo that contains it alone.

    Attributes:
        photo: The photo's name.
        data: The photo, or the part with the face.
        box: The face's box in ``data``.
    """

    photo: str
    data: bytes
    box: BoundingBox


def choose(service: FaceService, photo: Photo, number: int | None) -> Chosen:
    """Return the face to enrol.

    Args:
        service: Finds the faces.
        photo: The photo.
        number: The face's number, from 1, from the left. Required if there are several.

    Raises:
        FacesError: The photo has no face, several faces and no number is given, or fewer faces.
    """
    boxes = service.detect(photo.data)
    if not boxes:
        raise FacesError(f"there is no face in {photo.name}")
    if number is None and len(boxes) > 1:
        listed = "\n".join(f"  --face {n}: {_where(box)}" for n, box in enumerate(boxes, start=1))
        raise FacesError(
            f"{photo.name} has {len(boxes)} faces. Choose one with --face, counted from the "
            f"left:\n{listed}"
        )
    if number is not None and number > len(boxes):
        raise FacesError(f"there is no face {number} in {photo.name}: it has {len(boxes)}")
    chosen = boxes[(number or 1) - 1]
    if len(boxes) == 1:
        return Chosen(photo.name, photo.data, chosen)
    return Chosen(photo.name, *cut_out(photo, chosen, boxes))


def cut_out(
    photo: Photo, face: BoundingBox, faces: Sequence[BoundingBox]
) -> tuple[bytes, BoundingBox]:
    """Return a part of a photo in which a face is the largest, and the face's box in it."""
    for margin in MARGINS:
        data, box = photo.part(face, margin)
        around = BoundingBox(
            face.left - margin * face.width,
            face.top - margin * face.height,
            face.width * (1 + 2 * margin),
            face.height * (1 + 2 * margin),
        )
        others = [other for other in faces if other != face and other.area >= face.area]
        if not any(around.iou(other) > 0 for other in others):
            break
    return data, box


def enrol(
    service: FaceService,
    people: People,
    collection_id: str,
    name: str,
    consent: str,
    chosen: Sequence[Chosen],
    say: Say,
) -> int:
    """Store the faces of a person.

    The person and the consent are recorded first. After a crash, forgetting the person therefore
    finds all stored faces.

    Args:
        service: Stores the faces.
        people: Records the person and the faces.
        collection_id: The collection.
        name: The person's name.
        consent: The reference of the consent.
        chosen: The faces.
        say: Called for each photo.

    Returns:
        The number of stored faces.

    Raises:
        FacesError: The service refuses, or stored another face than the intended one, which is
            undone.
        PersonBeingForgottenError: The person's erasure isn't finished.
    """
    name, external_id = plain_name(name), external_image_id(name)
    person = Enrolment(external_id, service.region, collection_id, name, checked_consent(consent))
    service.face_count(collection_id)  # the collection exists
    person_id = people.enrol(person)
    stored = 0
    for one in chosen:
        indexed = service.index(collection_id, one.data, external_id)
        face = indexed.face
        if face is None:
            reasons = ", ".join(indexed.reasons) or "no reason given"
            say(f"{one.photo}: not stored; the service's reason is {reasons}")
            continue
        if face.box is not None and face.box.iou(one.box) < SAME_FACE_IOU:
            service.delete_faces(collection_id, [face.face_id])
            raise FacesError(
                f"{one.photo}: the service stored a different face, which was deleted again. "
                "Crop the photo to the person"
            )
        record = IndexedFace(face.face_id, one.photo, person.consent, indexed.model_version)
        try:
            people.add_face(person_id, record)
        except HistoryDataError as error:
            service.delete_faces(collection_id, [face.face_id])
            raise FacesError(
                f"{name} was forgotten meanwhile; the face of {one.photo} was deleted again"
            ) from error
        stored += 1
        say(f"{one.photo}: face {face.face_id}")
    return stored


def checked_consent(consent: str) -> str:
    """Return the reference of a consent, checked.

    Raises:
        FacesError: It is empty or too long.
    """
    text = consent.strip()
    if not text or len(text) > MAX_CONSENT_LENGTH:
        raise FacesError(
            "--consent must name the legal basis for keeping this person's face vectors, in at "
            f"most {MAX_CONSENT_LENGTH} characters: a form's number, a contract, a ticket"
        )
    return text


def _where(box: BoundingBox) -> str:
    """Return a face's position as text."""
    return (
        f"{box.left:.0%} from the left, {box.top:.0%} from the top, {box.width:.0%} wide, "
        f"{box.height:.0%} high"
    )
