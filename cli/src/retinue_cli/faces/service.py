"""Call Amazon Rekognition's face collections in one region."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import BotoCoreError, ClientError
from retinue_sdk import BoundingBox

from retinue_cli.faces.errors import FacesError, NoSuchCollectionError

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

PAGE = 4_096
"""Maximum number of faces in a call of ListFaces and DeleteFaces."""

ATTEMPTS = 8
"""Attempts of one call. DeleteFaces has a quota of 5 a second, which workers use, too."""

IAM_ACTIONS = frozenset(
    {
        "rekognition:CreateCollection",
        "rekognition:DeleteCollection",
        "rekognition:DeleteFaces",
        "rekognition:DescribeCollection",
        "rekognition:DetectFaces",
        "rekognition:IndexFaces",
        "rekognition:ListCollections",
        "rekognition:ListFaces",
        "rekognition:SearchFacesByImage",
    }
)
"""The actions that an operator of ``retinue faces`` needs; see docs/faces.md."""


@dataclass(frozen=True, slots=True)
class StoredFace:
    """A face vector of a collection.

    Attributes:
        face_id: Its id.
        external_image_id: The person's external image id, if any.
        box: The face's box in its photo.
    """

    face_id: str
    external_image_id: str | None
    box: BoundingBox | None


@dataclass(frozen=True, slots=True)
class Match:
    """A stored face that is similar to the searched one.

    Attributes:
        similarity: The similarity, 0 to 1.
        face: The stored face.
    """

    similarity: float
    face: StoredFace


@dataclass(frozen=True, slots=True)
class Indexed:
    """The result of storing a photo's largest face.

    Attributes:
        face: The stored face; ``None`` if it was not stored.
        reasons: The service's reasons for not storing it.
        model_version: The face model's version.
    """

    face: StoredFace | None
    reasons: tuple[str, ...]
    model_version: str | None


class FaceService:
    """Calls Rekognition in one region.

    Args:
        region: The region.
        client: A boto3 client. The default uses boto3's own settings.
    """

    def __init__(self, region: str, client: "RekognitionClient | None" = None) -> None:
        self.region = region
        self._client: Any = client if client is not None else _client(region)

    def create(self, collection_id: str) -> str | None:
        """Create a collection.

        Returns:
            The face model's version.

        Raises:
            FacesError: It exists already, or can't be created.
        """
        answer = self._call("create_collection", CollectionId=collection_id)
        return cast("str | None", answer.get("FaceModelVersion"))

    def collections(self) -> Iterator[str]:
        """Yield the ids of all collections of the account in this region."""
        for page in self._pages("list_collections"):
            yield from page.get("CollectionIds", ())

    def face_count(self, collection_id: str) -> int:
        """Return the number of faces in a collection.

        Raises:
            NoSuchCollectionError: It doesn't exist.
        """
        return int(self._call("describe_collection", CollectionId=collection_id)["FaceCount"])

    def faces(self, collection_id: str) -> Iterator[StoredFace]:
        """Yield every face of a collection.

        Raises:
            NoSuchCollectionError: It doesn't exist.
        """
        for page in self._pages("list_faces", CollectionId=collection_id, MaxResults=PAGE):
            yield from map(_stored, page.get("Faces", ()))

    def detect(self, photo: bytes) -> list[BoundingBox]:
        """Return the boxes of a photo's faces, from left to right."""
        answer = self._call("detect_faces", Image={"Bytes": photo})
        boxes = [_box(face.get("BoundingBox")) for face in answer.get("FaceDetails", ())]
        return sorted((box for box in boxes if box), key=lambda box: (box.left, box.top))

    def index(self, collection_id: str, photo: bytes, external_image_id: str) -> Indexed:
        """Store the photo's largest face.

        Raises:
            NoSuchCollectionError: The collection doesn't exist.
        """
        answer = self._call(
            "index_faces",
            CollectionId=collection_id,
            Image={"Bytes": photo},
            ExternalImageId=external_image_id,
            MaxFaces=1,
            QualityFilter="AUTO",
        )
        stored = [_stored(record["Face"]) for record in answer.get("FaceRecords", ())]
        reasons = [r for left_out in answer.get("UnindexedFaces", ()) for r in left_out["Reasons"]]
        version = answer.get("FaceModelVersion")
        return Indexed(stored[0] if stored else None, tuple(reasons), version)

    def search(self, collection_id: str, photo: bytes, min_similarity: float) -> list[Match]:
        """Return stored faces similar to the photo's largest, the most similar first.

        Raises:
            NoSuchCollectionError: The collection doesn't exist.
        """
        answer = self._call(
            "search_faces_by_image",
            CollectionId=collection_id,
            Image={"Bytes": photo},
            FaceMatchThreshold=round(min_similarity * 100, 4),
            QualityFilter="NONE",
        )
        return [
            Match(match["Similarity"] / 100, _stored(match["Face"]))
            for match in answer.get("FaceMatches", ())
        ]

    def delete_faces(self, collection_id: str, face_ids: Sequence[str]) -> int:
        """Delete faces. Missing faces aren't an error.

        Returns:
            The number of deleted faces.

        Raises:
            NoSuchCollectionError: The collection doesn't exist.
        """
        gone = 0
        for start in range(0, len(face_ids), PAGE):
            batch = list(face_ids[start : start + PAGE])
            answer = self._call("delete_faces", CollectionId=collection_id, FaceIds=batch)
            gone += len(answer.get("DeletedFaces", ()))
        return gone

    def delete(self, collection_id: str) -> None:
        """Delete a collection with all its faces.

        Raises:
            NoSuchCollectionError: It doesn't exist.
        """
        self._call("delete_collection", CollectionId=collection_id)

    def _call(self, method: str, **parameters: Any) -> Mapping[str, Any]:
        with _explained(self.region, parameters.get("CollectionId")):
            answer: Mapping[str, Any] = getattr(self._client, method)(**parameters)
        return answer

    def _pages(self, method: str, **parameters: Any) -> Iterator[Mapping[str, Any]]:
        """Yield the pages one after the other. Concurrent deletions don't shift them."""
        page = self._call(method, **parameters)
        yield page
        while token := page.get("NextToken"):
            page = self._call(method, **parameters, NextToken=token)
            yield page


@contextmanager
def _explained(region: str, collection_id: str | None) -> Iterator[None]:
    """Turn botocore's errors into messages for the user."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "ResourceNotFoundException":
            raise NoSuchCollectionError(
                f"there is no collection {collection_id!r} in {region}: `retinue faces list` shows "
                "those that exist, `retinue faces create` makes one"
            ) from error
        if code == "ResourceAlreadyExistsException":
            raise FacesError(f"the collection {collection_id!r} exists in {region}") from error
        raise FacesError(f"Amazon Rekognition in {region} refuses: {error}") from error
    except BotoCoreError as error:
        raise FacesError(
            f"cannot call Amazon Rekognition in {region}: {error}. Check AWS_PROFILE or your "
            "credentials, and AWS_REGION"
        ) from error


def _client(region: str) -> Any:
    import boto3
    from botocore.config import Config

    with _explained(region, None):
        return boto3.session.Session(region_name=region).client(
            "rekognition",
            config=Config(retries={"total_max_attempts": ATTEMPTS, "mode": "standard"}),
        )


def _stored(face: Mapping[str, Any]) -> StoredFace:
    return StoredFace(
        str(face["FaceId"]), face.get("ExternalImageId"), _box(face.get("BoundingBox"))
    )


def _box(box: Mapping[str, float] | None) -> BoundingBox | None:
    if not box:
        return None
    edges = [box.get(edge, 0.0) for edge in ("Left", "Top", "Width", "Height")]
    return BoundingBox(edges[0], edges[1], max(edges[2], 0.0), max(edges[3], 0.0))
