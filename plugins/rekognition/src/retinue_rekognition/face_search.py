"""rekognition-face-search: search every face of an image in a collection.

SearchFacesByImage searches only the largest face. For the others, AWS's documentation names two
ways: index the image and search by face id, or crop the faces and search each. The option ``send``
chooses; see the plugin's README for cost and privacy.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from retinue_sdk import (
    BoundingBox,
    DetectorError,
    DetectorNotReadyError,
    Findings,
    Image,
    RetriableError,
)

from retinue_rekognition import convert
from retinue_rekognition.collection import (
    PAGE,
    FaceCollection,
    kept_id,
    temporary_id,
    temporary_since,
)
from retinue_rekognition.crops import Crop, crop
from retinue_rekognition.detector import RekognitionDetector
from retinue_rekognition.errors import RejectedError
from retinue_rekognition.image_parameter import image_parameter
from retinue_rekognition.options import QualityFilter, Ratio, RekognitionOptions, percent

logger = logging.getLogger(__name__)

MARGINS = (0.5, 0.1)
"""Margins around a face in a crop. The second is tried when the first contains a larger face."""

SAME_FACE_IOU = 0.3
"""Minimum overlap of the searched face with the intended one."""

_SEARCHING = frozenset({"SearchFacesByImage", "SearchFaces", "IndexFaces"})
"""Operations whose quota the option ``requests_per_second`` sets. AWS gives each the same quota."""


class FaceSearchOptions(RekognitionOptions):
    """The collection and the options of the search."""

    collection_id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.\-]+$", max_length=255)]
    """Id of the collection."""

    send: Literal["reference", "bytes"] = "reference"
    """How to search if there are several faces. By reference, nothing is downloaded, but the faces
    are indexed in the collection and deleted again. As bytes, they are cropped from the downloaded
    image, and the collection is never changed.
    """

    min_similarity: Ratio = 0.8
    """Minimum similarity of a match, 0 to 1 (the API's own default is 80)."""

    max_matches: Annotated[int, Field(ge=1, le=4_000)] = 5
    """Maximum number of matches per face, the most similar ones."""

    max_faces: Annotated[int, Field(ge=1, le=100)] = 100
    """Maximum number of faces per image, the largest ones."""

    quality_filter: QualityFilter = "AUTO"
    """Minimum quality of a face to search."""

    index_unknown: bool = False
    """Whether faces without a match are added to the collection."""

    consent: Annotated[str | None, Field(min_length=1, max_length=500)] = None
    """The legal basis for keeping unknown faces (a contract, a notice).

    It is stored with each face.
    """

    @model_validator(mode="after")
    def _needs_consent(self) -> "FaceSearchOptions":
        if self.index_unknown and not (self.consent or "").strip():
            raise ValueError(
                "index_unknown keeps people's face vectors: name the legal basis in the option "
                "consent (a contract number, the notice at the door)"
            )
        return self


@dataclass(slots=True)
class _Answers:
    """The answers for one image.

    Attributes:
        raw: The answers by operation. Those of searches are a list, in the order of the faces.
        billed_units: Number of billed calls.
    """

    raw: dict[str, Any] = field(default_factory=dict)
    billed_units: int = 0

    def keep(self, operation: str, answer: dict[str, Any]) -> dict[str, Any]:
        """Store the only answer of an operation."""
        self.raw[operation] = answer
        self.billed_units += 1
        return answer

    def add(self, operation: str, answer: dict[str, Any]) -> None:
        """Add an answer of an operation that is called several times."""
        self.raw.setdefault(operation, []).append(answer)
        self.billed_units += "Error" not in answer


class FaceSearchDetector(RekognitionDetector[FaceSearchOptions]):
    """Searches every face in a collection, and can add the unknown ones to it."""

    name: ClassVar[str] = "rekognition-face-search"
    operation: ClassVar[str] = "SearchFacesByImage"
    operations: ClassVar[tuple[str, ...]] = (
        "DescribeCollection",
        "DetectFaces",
        "SearchFacesByImage",
        "IndexFaces",
        "SearchFaces",
        "DeleteFaces",
        "ListFaces",
    )

    def __init__(self, options: FaceSearchOptions) -> None:
        super().__init__(options)
        self._opened: FaceCollection | None = None
        self._face_model_version: str | None = None

    @property
    def operations_of_rate_option(self) -> frozenset[str]:
        """Return the search operations, whose quotas are equal in AWS."""
        return _SEARCHING

    @property
    def model_version(self) -> str | None:
        """Return the model version of the collection's faces."""
        return self._face_model_version

    async def prepare(self) -> None:
        """Find the collection, and delete temporary faces of dead workers.

        Raises:
            DetectorNotReadyError: The collection doesn't exist, or access is denied.
        """
        self._opened = FaceCollection(self.api, self.options.collection_id)
        self._face_model_version = await self._opened.face_model_version()
        if self._indexes and (left := await self._opened.sweep()):
            logger.info("%s deleted %d temporary faces of a worker that died", self.name, left)

    async def close(self) -> None:
        """Delete the remaining temporary faces, and close connections."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None
        await super().close()

    async def look(self, image: Image) -> Findings:
        """Find the faces, and search each."""
        answers = _Answers()
        try:
            return await self._look(image, answers)
        except DetectorError as error:
            error.billed_units += answers.billed_units
            raise

    async def _look(self, image: Image, answers: _Answers) -> Findings:
        if self.options.index_unknown:
            return await self._by_index(image, answers, keep_unknown=True)
        detected = await self.ask(image, "DetectFaces", {"Attributes": ["DEFAULT"]})
        answers.keep("DetectFaces", detected)
        faces = _largest_first(convert.items(detected.get("FaceDetails")))
        if len(faces) > 1 and self.options.send == "reference":
            return await self._by_index(image, answers, keep_unknown=False)
        if len(faces) == 1:
            sent = image_parameter(image, self.options.send)
            searched = [(faces[0], await self._search_image(answers, sent))]
        else:
            searched = [
                (face, await self._search_crop(answers, image, face))
                for face in faces[: self.options.max_faces]
            ]
            searched += [(face, ()) for face in faces[self.options.max_faces :]]
        return convert.searched_faces(answers.raw, searched, billed_units=answers.billed_units)

    @property
    def _indexes(self) -> bool:
        return self.options.send == "reference" or self.options.index_unknown

    @property
    def _collection(self) -> FaceCollection:
        if self._opened is None:
            raise DetectorNotReadyError(f"{self.name} was not started, or is closed")
        return self._opened

    async def _search_image(
        self, answers: _Answers, sent: dict[str, Any]
    ) -> Sequence[convert.Item]:
        """Search the largest face of a picture."""
        answer = await self._search(answers, "SearchFacesByImage", Image=sent)
        return self._known(answer.get("FaceMatches"))

    async def _search_crop(
        self, answers: _Answers, image: Image, face: convert.Item
    ) -> Sequence[convert.Item]:
        """Crop a face and search it.

        Return no match if Rekognition finds another face in the crop.
        """
        box = convert.bounding_box(face.get("BoundingBox"))
        if box is None:
            return ()
        for margin in MARGINS:
            part = await asyncio.to_thread(_cut_out, image, box, margin)
            if part is None:
                break
            answer = await self._search(answers, "SearchFacesByImage", Image={"Bytes": part.png})
            seen = convert.bounding_box(answer.get("SearchedFaceBoundingBox"))
            if seen is not None and part.in_image(seen).iou(box) >= SAME_FACE_IOU:
                return self._known(answer.get("FaceMatches"))
        return ()

    async def _search(self, answers: _Answers, operation: str, **parameters: Any) -> dict[str, Any]:
        """Search once. A face of poor quality has no matches."""
        options = self.options
        try:
            answer = await self._collection.call(
                operation,
                FaceMatchThreshold=percent(options.min_similarity),
                MaxFaces=options.max_matches,
                QualityFilter=options.quality_filter,
                **parameters,
            )
        except RejectedError as error:
            answer = {"Error": str(error)}
        answers.add(operation, answer)
        return answer

    async def _by_index(self, image: Image, answers: _Answers, *, keep_unknown: bool) -> Findings:
        """Index the faces, search them by id, and delete the temporary ones.

        The faces of this image are always deleted, unless they are unknown and to be kept.
        """
        options, collection = self.options, self._collection
        own_id = kept_id(image.image_id) if keep_unknown else temporary_id(image.image_id)
        sent = image_parameter(image, options.send)
        indexed = await collection.index(
            Image=sent,
            ExternalImageId=own_id,
            MaxFaces=options.max_faces,
            QualityFilter=options.quality_filter,
            DetectionAttributes=["DEFAULT"],
        )
        answers.keep("IndexFaces", indexed)
        records = {_face_id(r): r for r in convert.items(indexed.get("FaceRecords"))}
        doomed = set(records)
        searched: list[tuple[convert.Item, Sequence[convert.Item]]] = []
        try:
            for face_id, record in records.items():
                found = await self._search_id(answers, face_id, siblings=len(records))
                others = [match for match in found if _face_id(match) not in records]
                earlier = [m for m in others if _external_id(m) == own_id]
                known = self._known([m for m in others if _external_id(m) != own_id])
                if keep_unknown and known:
                    doomed |= {_face_id(match) for match in earlier}
                kept = None
                if keep_unknown and not known:
                    kept = _face((earlier or [record])[0])
                    doomed.discard(str(kept.get("FaceId", "")))
                searched.append((self._told(record, kept), known))
        finally:
            if doomed:
                await collection.delete(doomed)
        searched += [
            (_unindexed(face), ()) for face in convert.items(indexed.get("UnindexedFaces"))
        ]
        return convert.searched_faces(answers.raw, searched, billed_units=answers.billed_units)

    async def _search_id(
        self, answers: _Answers, face_id: str, *, siblings: int
    ) -> list[dict[str, Any]]:
        """Return matches of an indexed face, including other faces of the same image."""
        try:
            answer = await self._collection.call(
                "SearchFaces",
                FaceId=face_id,
                FaceMatchThreshold=percent(self.options.min_similarity),
                MaxFaces=min(self.options.max_matches + 2 * siblings, PAGE),
            )
        except RejectedError as error:  # the face was deleted meanwhile
            raise RetriableError(f"the face was gone before it was searched: {error}") from error
        answers.add("SearchFaces", answer)
        return convert.items(answer.get("FaceMatches"))

    def _known(self, matches: Any) -> list[dict[str, Any]]:
        """Return the maximum number of matches, without other images' temporary faces."""
        known = [m for m in convert.items(matches) if temporary_since(_face(m)) is None]
        return known[: self.options.max_matches]

    def _told(self, record: Mapping[str, Any], kept: dict[str, Any] | None) -> dict[str, Any]:
        """Return the attributes of an indexed face, with the ids of the kept one, if any."""
        detail = record.get("FaceDetail")
        told = dict(detail) if isinstance(detail, dict) else {}
        if kept is not None:
            return {**kept, **told, "Consent": self.options.consent}
        ids = {"FaceId", "ImageId", "ExternalImageId"}
        return {key: value for key, value in _face(record).items() if key not in ids} | told


def _cut_out(image: Image, face: BoundingBox, margin: float) -> Crop | None:
    """Crop a face on a thread, because it takes milliseconds."""
    return crop(image.pixels(), face, margin=margin)


def _face(item: Mapping[str, Any]) -> dict[str, Any]:
    face = item.get("Face")
    return face if isinstance(face, dict) else {}


def _face_id(item: Mapping[str, Any]) -> str:
    return str(_face(item).get("FaceId", ""))


def _external_id(item: Mapping[str, Any]) -> str:
    return str(_face(item).get("ExternalImageId", ""))


def _unindexed(item: dict[str, Any]) -> dict[str, Any]:
    """Return a face that was too poor to be indexed, with the reasons."""
    detail = item.get("FaceDetail")
    told = detail if isinstance(detail, dict) else {}
    return told | {key: value for key, value in item.items() if key != "FaceDetail"}


def _largest_first(faces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def area(face: dict[str, Any]) -> float:
        box = convert.bounding_box(face.get("BoundingBox"))
        return 0.0 if box is None else box.area

    return sorted(faces, key=area, reverse=True)
