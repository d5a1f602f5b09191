"""Face collections with memory."""

import hashlib
import uuid
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

from retinue_rekognition_emulator.faults import AwsError
from retinue_rekognition_emulator.images import Face, ImageContent

FACE_MODEL_VERSION = "7.0"


@dataclass
class Record:
    """A face in a collection."""

    face_id: str
    identity: str
    told: dict[str, Any]


@dataclass
class Collection:
    """A collection: faces by id, in the order of their creation."""

    records: dict[str, Record] = field(default_factory=dict)


class Collections:
    """All collections of the account.

    Attributes:
        indexed: Number of faces that were ever added.
        remembers_images: Whether a face that is indexed twice keeps its id.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self._collections: dict[str, Collection] = {}
        self.indexed = 0
        self.remembers_images = True

    def create(self, name: str) -> None:
        """Create a collection."""
        with self.lock:
            if name in self._collections:
                raise AwsError("ResourceAlreadyExistsException", f"{name} already exists")
            self._collections[name] = Collection()

    def get(self, name: str) -> Collection:
        """Return an existing collection."""
        with self.lock:
            if name not in self._collections:
                raise AwsError(
                    "ResourceNotFoundException", f"The collection id: {name} does not exist"
                )
            return self._collections[name]

    def delete(self, name: str) -> None:
        """Delete a collection with its faces."""
        with self.lock:
            self.get(name)
            del self._collections[name]

    def names(self) -> list[str]:
        """Return the names of all collections, sorted."""
        with self.lock:
            return sorted(self._collections)

    def index(self, name: str, seen: ImageContent, face: Face, external_id: str | None) -> Record:
        """Store a face. The same face of the same image is stored once."""
        with self.lock:
            collection = self.get(name)
            again = b"" if self.remembers_images else str(self.indexed).encode()
            digest = hashlib.sha256(
                seen.digest + face.identity.encode() + (external_id or "").encode() + again
            ).digest()
            face_id = str(uuid.UUID(bytes=digest[:16]))
            if face_id not in collection.records:
                told = {
                    "FaceId": face_id,
                    "BoundingBox": face.box,
                    "ImageId": str(uuid.UUID(bytes=seen.digest[:16])),
                    "Confidence": 99.99,
                    "IndexFacesModelVersion": FACE_MODEL_VERSION,
                }
                if external_id is not None:
                    told["ExternalImageId"] = external_id
                collection.records[face_id] = Record(face_id, face.identity, told)
                self.indexed += 1
            return collection.records[face_id]

    def search(
        self, name: str, identity: str, *, threshold: float, limit: int, without: str = ""
    ) -> list[dict[str, Any]]:
        """Return similar faces, the most similar first."""
        with self.lock:
            matches: list[dict[str, Any]] = [
                {"Similarity": similarity(identity, record.identity), "Face": record.told}
                for record in self.get(name).records.values()
                if record.face_id != without
            ]
        matches = [match for match in matches if match["Similarity"] >= threshold]
        return sorted(matches, key=lambda match: -match["Similarity"])[:limit]

    def record(self, name: str, face_id: str) -> Record:
        """Return a face of a collection by its id."""
        with self.lock:
            records = self.get(name).records
            if face_id not in records:
                raise AwsError(
                    "InvalidParameterException", "faceId was not found in the collection."
                )
            return records[face_id]


def similarity(one: str, other: str) -> float:
    """Return 99.9 for the same person, and between 0 and 40 for two."""
    if one == other:
        return 99.9
    pair = "".join(sorted((one, other)))
    return hashlib.sha256(pair.encode()).digest()[0] / 256 * 40
