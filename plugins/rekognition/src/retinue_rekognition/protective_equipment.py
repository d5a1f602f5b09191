"""rekognition-ppe: who wears a face cover, a head cover, hand covers."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from retinue_sdk import Findings

from retinue_rekognition import convert
from retinue_rekognition.detector import OneCallDetector
from retinue_rekognition.options import Ratio, RekognitionOptions, percent

Equipment = Literal["FACE_COVER", "HAND_COVER", "HEAD_COVER"]


class ProtectiveEquipmentOptions(RekognitionOptions):
    """What the summary counts; DetectProtectiveEquipment reports everything in any case."""

    required_equipment: Annotated[frozenset[Equipment], Field(min_length=1)] = frozenset(
        {"FACE_COVER", "HAND_COVER", "HEAD_COVER"}
    )
    """What a person must wear to count as protected."""

    min_confidence: Annotated[Ratio, Field(ge=0.5)] = 0.8
    """Least confidence with which equipment counts in the summary, 0.5 to 1."""


class ProtectiveEquipmentDetector(OneCallDetector[ProtectiveEquipmentOptions]):
    """Finds protective equipment on up to 15 persons, by DetectProtectiveEquipment."""

    name: ClassVar[str] = "rekognition-ppe"
    operation: ClassVar[str] = "DetectProtectiveEquipment"
    operations: ClassVar[tuple[str, ...]] = ("DetectProtectiveEquipment",)
    max_sent_bytes: ClassVar[int] = 4 * 2**20  # "Guidelines and quotas": 4 MB for this operation

    def parameters(self) -> dict[str, Any]:
        """Return what the summary counts."""
        return {
            "SummarizationAttributes": {
                "MinConfidence": percent(self.options.min_confidence),
                "RequiredEquipmentTypes": sorted(self.options.required_equipment),
            }
        }

    def findings(self, response: dict[str, Any]) -> Findings:
        """A detection for each person, body part and piece of equipment."""
        return convert.protective_equipment(response)
