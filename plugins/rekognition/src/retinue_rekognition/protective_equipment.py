"""rekognition-ppe: protective equipment on faces, heads and hands."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from retinue_sdk import Findings

from retinue_rekognition import convert
from retinue_rekognition.detector import OneCallDetector
from retinue_rekognition.options import Ratio, RekognitionOptions, percent

Equipment = Literal["FACE_COVER", "HAND_COVER", "HEAD_COVER"]


class ProtectiveEquipmentOptions(RekognitionOptions):
    """The summary's options. DetectProtectiveEquipment always reports everything."""

    required_equipment: Annotated[frozenset[Equipment], Field(min_length=1)] = frozenset(
        {"FACE_COVER", "HAND_COVER", "HEAD_COVER"}
    )
    """The equipment that a protected person must wear."""

    min_confidence: Annotated[Ratio, Field(ge=0.5)] = 0.8
    """Minimum confidence of equipment in the summary, 0.5 to 1."""


class ProtectiveEquipmentDetector(OneCallDetector[ProtectiveEquipmentOptions]):
    """Finds protective equipment on up to 15 persons, by DetectProtectiveEquipment."""

    name: ClassVar[str] = "rekognition-ppe"
    operation: ClassVar[str] = "DetectProtectiveEquipment"
    operations: ClassVar[tuple[str, ...]] = ("DetectProtectiveEquipment",)
    max_sent_bytes: ClassVar[int] = 4 * 2**20  # "Guidelines and quotas": 4 MB for this operation

    def parameters(self) -> dict[str, Any]:
        """Return the summary's options."""
        return {
            "SummarizationAttributes": {
                "MinConfidence": percent(self.options.min_confidence),
                "RequiredEquipmentTypes": sorted(self.options.required_equipment),
            }
        }

    def findings(self, response: dict[str, Any]) -> Findings:
        """Return a detection for each person, body part and piece of equipment."""
        return convert.protective_equipment(response)
