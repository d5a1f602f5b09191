"""The answers of the operations."""

from collections.abc import Callable
from typing import Any

from retinue_rekognition_emulator.collections import FACE_MODEL_VERSION, Collections, similarity
from retinue_rekognition_emulator.details import LABELS, Answer, face_detail, text_detection
from retinue_rekognition_emulator.faults import AwsError, Faults
from retinue_rekognition_emulator.images import Face, ImageContent, Source, look
from retinue_rekognition_emulator.training_operations import TrainingOperations
from retinue_rekognition_emulator.version_operations import VersionOperations
from retinue_rekognition_emulator.versions import Versions
from retinue_rekognition_emulator.video.notifications import Publish
from retinue_rekognition_emulator.video.objects import VideoSource
from retinue_rekognition_emulator.video.operations import VideoOperations


class Operations:
    """The operations of this endpoint, with one set of collections and models."""

    def __init__(
        self,
        source: Source | None,
        videos: VideoSource | None,
        faults: Faults,
        publish: Publish | None,
    ) -> None:
        self.source = source
        self.collections = Collections()
        self.versions = Versions()
        models = VersionOperations(self.versions, source)
        self.projects = TrainingOperations(models)
        self.video = VideoOperations(videos, self.collections, faults, publish)
        self.known: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "DetectLabels": self.detect_labels,
            "DetectFaces": self.detect_faces,
            "DetectModerationLabels": self.detect_moderation_labels,
            "DetectText": self.detect_text,
            "RecognizeCelebrities": self.recognize_celebrities,
            "DetectProtectiveEquipment": self.detect_protective_equipment,
            "CompareFaces": self.compare_faces,
            "CreateCollection": self.create_collection,
            "DescribeCollection": self.describe_collection,
            "DeleteCollection": self.delete_collection,
            "ListCollections": self.list_collections,
            "IndexFaces": self.index_faces,
            "ListFaces": self.list_faces,
            "DeleteFaces": self.delete_faces,
            "SearchFaces": self.search_faces,
            "SearchFacesByImage": self.search_faces_by_image,
            **models.known,
            **self.projects.known,
            **self.video.known,
        }

    def _see(self, image: dict[str, Any], *, smallest_px: int = 80) -> ImageContent:
        return look(image, self.source, smallest_px=smallest_px)

    def detect_labels(self, request: dict[str, Any]) -> Answer:
        """Return invented labels, and measured image properties."""
        seen = self._see(request["Image"])
        features = request.get("Features") or ["GENERAL_LABELS"]
        answer: Answer = {"Labels": [], "LabelModelVersion": "3.0"}
        if "GENERAL_LABELS" in features:
            filters = request.get("Settings", {}).get("GeneralLabels", {})
            wanted = filters.get("LabelInclusionFilters")
            if wanted and not set(wanted) <= {name for name, _, _ in LABELS}:
                raise AwsError("InvalidParameterException", "Request has Invalid Parameters")
            labels = [_label(seen, number) for number in range(1 + seen.digest[1] % len(LABELS))]
            least = request.get("MinConfidence", 55)
            answer["Labels"] = [
                label
                for label in labels
                if label["Confidence"] >= least and (not wanted or label["Name"] in wanted)
            ][: request.get("MaxLabels", 1_000)]
        if "IMAGE_PROPERTIES" in features:
            whole = _properties(seen, request)
            answer["ImageProperties"] = whole | {"Foreground": whole, "Background": whole}
        return answer

    def detect_faces(self, request: dict[str, Any]) -> Answer:
        """Return faces."""
        every = "ALL" in (request.get("Attributes") or [])
        return {"FaceDetails": [face_detail(f, every) for f in self._see(request["Image"]).faces]}

    def detect_moderation_labels(self, request: dict[str, Any]) -> Answer:
        """Return two labels of the taxonomy, or none."""
        seen = self._see(request["Image"])
        if "ProjectVersion" in request:
            raise AwsError("ResourceNotFoundException", "The adapter does not exist")
        labels = []
        if seen.digest[2] % 2:
            labels = [
                {"Confidence": 97.5, "Name": "Alcohol", "ParentName": "", "TaxonomyLevel": 1},
                {
                    "Confidence": 96.25,
                    "Name": "Alcoholic Beverages",
                    "ParentName": "Alcohol",
                    "TaxonomyLevel": 2,
                },
            ]
        least = request.get("MinConfidence", 50)
        return {
            "ModerationLabels": [label for label in labels if label["Confidence"] >= least],
            "ModerationModelVersion": "7.0",
            "ContentTypes": [{"Confidence": 91.0, "Name": "Illustrated"}] if labels else [],
        }

    def detect_text(self, request: dict[str, Any]) -> Answer:
        """Return a line of two words."""
        seen = self._see(request["Image"])
        words = [seen.digest.hex()[:4], seen.digest.hex()[4:8]]
        found = [text_detection(0, "LINE", " ".join(words))]
        found += [
            text_detection(1 + n, "WORD", word) | {"ParentId": 0} for n, word in enumerate(words)
        ]
        return {"TextDetections": found, "TextModelVersion": "3.0"}

    def recognize_celebrities(self, request: dict[str, Any]) -> Answer:
        """Return the largest face as a celebrity."""
        faces = self._see(request["Image"]).faces
        known, others = faces[:1], faces[1:]
        return {
            "CelebrityFaces": [
                {
                    "Urls": ["www.wikidata.org/wiki/Q42"],
                    "Name": f"Celebrity {face.identity[:6]}",
                    "Id": "1Abc" + face.identity[1:5],
                    "Face": _compared(face),
                    "MatchConfidence": 98.0,
                    "KnownGender": {"Type": "Nonbinary"},
                }
                for face in known
            ],
            "UnrecognizedFaces": [_compared(face) for face in others],
        }

    def detect_protective_equipment(self, request: dict[str, Any]) -> Answer:
        """Return a person for each face, with the face covered."""
        faces = self._see(request["Image"], smallest_px=64).faces[:15]
        return {
            "ProtectiveEquipmentModelVersion": "1.0",
            "Persons": [_person(number, face) for number, face in enumerate(faces)],
            "Summary": {
                "PersonsWithRequiredEquipment": [],
                "PersonsWithoutRequiredEquipment": list(range(len(faces))),
                "PersonsIndeterminate": [],
            },
        }

    def compare_faces(self, request: dict[str, Any]) -> Answer:
        """Return the target's faces, separated by similarity to the source's largest face."""
        source, target = self._see(request["SourceImage"]), self._see(request["TargetImage"])
        if not source.faces or not target.faces:
            raise AwsError("InvalidParameterException", "Request has Invalid Parameters")
        wanted, least = source.faces[0], request.get("SimilarityThreshold", 80)
        scores = [(similarity(wanted.identity, face.identity), face) for face in target.faces]
        return {
            "SourceImageFace": {"BoundingBox": wanted.box, "Confidence": 99.9},
            "FaceMatches": [
                {"Similarity": score, "Face": _compared(f)} for score, f in scores if score >= least
            ],
            "UnmatchedFaces": [_compared(face) for score, face in scores if score < least],
        }

    def create_collection(self, request: dict[str, Any]) -> Answer:
        """Create a collection."""
        name = request["CollectionId"]
        self.collections.create(name)
        return {
            "StatusCode": 200,
            "CollectionArn": _arn(name),
            "FaceModelVersion": FACE_MODEL_VERSION,
        }

    def describe_collection(self, request: dict[str, Any]) -> Answer:
        """Return the number of faces in a collection."""
        name = request["CollectionId"]
        return {
            "FaceCount": len(self.collections.get(name).records),
            "FaceModelVersion": FACE_MODEL_VERSION,
            "CollectionARN": _arn(name),
            "CreationTimestamp": 1_700_000_000.5,
            "UserCount": 0,
        }

    def delete_collection(self, request: dict[str, Any]) -> Answer:
        """Delete a collection."""
        self.collections.delete(request["CollectionId"])
        return {"StatusCode": 200}

    def list_collections(self, request: dict[str, Any]) -> Answer:
        """Return all collections in one page."""
        del request
        names = self.collections.names()
        return {"CollectionIds": names, "FaceModelVersions": [FACE_MODEL_VERSION] * len(names)}

    def index_faces(self, request: dict[str, Any]) -> Answer:
        """Add faces to a collection."""
        name = request["CollectionId"]
        self.collections.get(name)
        seen = self._see(request["Image"])
        limit = request.get("MaxFaces", 100)
        every = "ALL" in (request.get("DetectionAttributes") or [])
        records = [
            {
                "Face": self.collections.index(
                    name, seen, face, request.get("ExternalImageId")
                ).told,
                "FaceDetail": face_detail(face, every),
            }
            for face in seen.faces[:limit]
        ]
        return {
            "FaceRecords": records,
            "FaceModelVersion": FACE_MODEL_VERSION,
            "UnindexedFaces": [
                {"Reasons": ["EXCEEDS_MAX_FACES"], "FaceDetail": face_detail(face, every)}
                for face in seen.faces[limit:]
            ],
        }

    def list_faces(self, request: dict[str, Any]) -> Answer:
        """Return the faces of a collection, page by page."""
        faces = [r.told for r in self.collections.get(request["CollectionId"]).records.values()]
        start = int(request.get("NextToken", "0"))
        end = start + request.get("MaxResults", 1_000)
        answer: Answer = {"Faces": faces[start:end], "FaceModelVersion": FACE_MODEL_VERSION}
        return answer | ({"NextToken": str(end)} if end < len(faces) else {})

    def delete_faces(self, request: dict[str, Any]) -> Answer:
        """Remove faces from a collection."""
        with self.collections.lock:
            records = self.collections.get(request["CollectionId"]).records
            gone = [face_id for face_id in request["FaceIds"] if records.pop(face_id, None)]
        return {
            "DeletedFaces": gone,
            "UnsuccessfulFaceDeletions": [
                {"FaceId": face_id, "Reasons": ["FACE_NOT_FOUND"]}
                for face_id in request["FaceIds"]
                if face_id not in gone
            ],
        }

    def search_faces(self, request: dict[str, Any]) -> Answer:
        """Return faces similar to one of the collection."""
        name, face_id = request["CollectionId"], request["FaceId"]
        identity = self.collections.record(name, face_id).identity
        matches = self.collections.search(name, identity, without=face_id, **_how(request))
        return {
            "SearchedFaceId": face_id,
            "FaceMatches": matches,
            "FaceModelVersion": FACE_MODEL_VERSION,
        }

    def search_faces_by_image(self, request: dict[str, Any]) -> Answer:
        """Return faces similar to the largest of an image."""
        name = request["CollectionId"]
        self.collections.get(name)
        faces = self._see(request["Image"]).faces
        if not faces:
            raise AwsError(
                "InvalidParameterException",
                "There are no faces in the image. Should be at least 1.",
            )
        matches = self.collections.search(name, faces[0].identity, **_how(request))
        return {
            "SearchedFaceBoundingBox": faces[0].box,
            "SearchedFaceConfidence": 99.9,
            "FaceMatches": matches,
            "FaceModelVersion": FACE_MODEL_VERSION,
        }


def _how(request: dict[str, Any]) -> dict[str, Any]:
    return {
        "threshold": request.get("FaceMatchThreshold", 80),
        "limit": request.get("MaxFaces", 5),
    }


def _arn(name: str) -> str:
    return f"aws:rekognition:us-east-1:123456789012:collection/{name}"


def _label(seen: ImageContent, number: int) -> Answer:
    name, parents, category = LABELS[number]
    somewhere = [
        {"Width": 0.2, "Height": 0.3, "Left": -0.01 + 0.3 * n, "Top": 0.1} for n in range(2)
    ]
    places = somewhere if seen.measured is None else seen.measured.places
    instances = [
        {"BoundingBox": places[n], "Confidence": 98.5 - n}
        for n in range(seen.digest[3 + number] % 3)
    ]
    return {
        "Name": name,
        "Confidence": 99.0 - 5 * number,
        "Instances": instances,
        "Parents": [{"Name": parent} for parent in parents],
        "Aliases": [],
        "Categories": [{"Name": category}],
    }


def _properties(seen: ImageContent, request: dict[str, Any]) -> Answer:
    """Return measured properties.

    Without pixels, return a sharpness above 100, as Amazon did once.
    """
    settings = request.get("Settings", {}).get("ImageProperties", {})
    if seen.measured is None:
        quality = {"Brightness": 55.5, "Sharpness": 104.2, "Contrast": 70.1}
        colours = [(*seen.digest[:3], 61.5)]
    else:
        quality = {
            "Brightness": seen.measured.brightness,
            "Sharpness": seen.measured.sharpness,
            "Contrast": seen.measured.contrast,
        }
        colours = seen.measured.colours
    most = settings.get("MaxDominantColors", 10)
    return {"Quality": quality, "DominantColors": [_colour(*one) for one in colours[:most]]}


def _colour(red: int, green: int, blue: int, percent: float) -> Answer:
    return {
        "Red": red,
        "Green": green,
        "Blue": blue,
        "HexCode": f"#{red:02x}{green:02x}{blue:02x}",
        "PixelPercent": percent,
    }


def _compared(face: Face) -> Answer:
    default = face_detail(face, every=False)
    return default | {
        "Emotions": [{"Type": "CALM", "Confidence": 90.0}],
        "Smile": {"Value": False, "Confidence": 80.0},
    }


def _person(number: int, face: Face) -> Answer:
    cover = {
        "BoundingBox": face.box,
        "Confidence": 97.0,
        "Type": "FACE_COVER",
        "CoversBodyPart": {"Confidence": 96.0, "Value": True},
    }
    return {
        "Id": number,
        "Confidence": 99.5,
        "BoundingBox": face.box,
        "BodyParts": [
            {"Name": "FACE", "Confidence": 99.0, "EquipmentDetections": [cover]},
            {"Name": "LEFT_HAND", "Confidence": 90.0, "EquipmentDetections": []},
        ],
    }
