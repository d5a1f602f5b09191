"""rekognition-face-compare: find the person of a reference image."""

import hashlib
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar

from pydantic import Field
from retinue_sdk import (
    ConfigurationError,
    DetectorError,
    DetectorNotReadyError,
    Findings,
    Image,
    ImageReference,
    InvalidImageError,
    ObjectRefusedError,
    RetriableError,
    S3Uri,
)

from retinue_rekognition import convert
from retinue_rekognition.detector import RekognitionDetector
from retinue_rekognition.errors import RejectedError, UnreadableObjectError
from retinue_rekognition.image_parameter import image_parameter
from retinue_rekognition.options import QualityFilter, Ratio, RekognitionOptions, percent
from retinue_rekognition.s3 import ANY_ETAG


class FaceCompareOptions(RekognitionOptions):
    """The options of the comparison."""

    reference_image: Annotated[str, Field(min_length=1, max_length=2_048)]
    """A picture of the person: s3://bucket/key, optionally with ?versionId=..., or a file's path.
    Its largest face counts.
    """

    person: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    """The label of a match. Default: the name of the reference image, without suffix."""

    min_similarity: Ratio = 0.8
    """Minimum similarity of a match, 0 to 1 (the API's own default is 80)."""

    quality_filter: QualityFilter = "NONE"
    """Minimum quality of a face to compare."""


class FaceCompareDetector(RekognitionDetector[FaceCompareOptions]):
    """Compares up to 100 faces with the reference's, by CompareFaces."""

    name: ClassVar[str] = "rekognition-face-compare"
    operation: ClassVar[str] = "CompareFaces"
    operations: ClassVar[tuple[str, ...]] = ("CompareFaces", "DetectFaces")

    def __init__(self, options: FaceCompareOptions) -> None:
        """Find the reference image. A file is read now, for the fingerprint.

        Raises:
            ConfigurationError: It doesn't exist, or the service would refuse it.
        """
        super().__init__(options)
        self._source_file: bytes | None = None
        self._source_object: ImageReference | None = None
        if options.reference_image.startswith("s3://"):
            self._source_object = _s3_object(options.reference_image)
            name = self._source_object.key
        else:
            self._source_file = _read(Path(options.reference_image))
            name = Path(options.reference_image).name
        self._person = options.person or PurePosixPath(name).stem or name
        self._source = self._source_parameter()

    def model_fingerprint(self) -> str:
        """Return the SHA-256 of the reference image's file.

        An S3 object is identified by its name.
        """
        return "" if self._source_file is None else hashlib.sha256(self._source_file).hexdigest()

    async def prepare(self) -> None:
        """Check that the reference image has a face. This costs one image.

        Raises:
            ConfigurationError: It has none, or can't be read as an image.
            DetectorNotReadyError: It can't be read now.
        """
        try:
            await self._check_reference()
        except InvalidImageError as error:
            if not error.retryable:
                raise ConfigurationError(f"option reference_image: {error}") from error
            raise DetectorNotReadyError(f"option reference_image: {error}") from error
        except RetriableError as error:
            raise DetectorNotReadyError(
                f"the reference image cannot be checked yet: {error}",
                retry_after_seconds=error.retry_after_seconds,
            ) from error

    async def look(self, image: Image) -> Findings:
        """Compare the faces. An image without faces has no matches."""
        options = self.options
        target = image_parameter(image, options.send, max_sent_bytes=self.max_sent_bytes)
        parameters = {
            "SourceImage": self._source,
            "TargetImage": target,
            "SimilarityThreshold": percent(options.min_similarity),
            "QualityFilter": options.quality_filter,
        }
        try:
            answer = await self.api.call(self.operation, parameters)
        except RejectedError as error:
            # "If no faces are detected in the source or target images, CompareFaces returns an
            # InvalidParameterException error" (API reference). Find out which image, if any.
            return await self._without_faces(image, error)
        return convert.compared_faces(answer, person=self._person)

    async def why_unreadable(self, reference: ImageReference, complaint: str) -> DetectorError:
        """Return why Rekognition couldn't read the image, or the reference image, from S3."""
        why = await super().why_unreadable(reference, complaint)
        if isinstance(why, RetriableError) and self._source_object is not None:
            why_source = await super().why_unreadable(self._source_object, complaint)
            if not isinstance(why_source, RetriableError):
                return DetectorNotReadyError(f"option reference_image: {why_source}")
        return why

    async def _without_faces(self, image: Image, complaint: RejectedError) -> Findings:
        """Return empty findings if the image has no face.

        Raises:
            DetectorError: The error has another cause.
        """
        answer = await self.ask(image, "DetectFaces", {"Attributes": ["DEFAULT"]})
        if convert.items(answer.get("FaceDetails")):
            try:
                await self._check_reference()
            except (ConfigurationError, InvalidImageError, ObjectRefusedError) as error:
                raise DetectorNotReadyError(f"reference image: {error}") from error
            raise complaint
        raw = {"CompareFaces": {"Error": str(complaint)}, "DetectFaces": answer}
        return convert.compared_faces(raw, person=self._person)

    async def _check_reference(self) -> None:
        parameters = {"Image": self._source, "Attributes": ["DEFAULT"]}
        try:
            answer = await self.api.call("DetectFaces", parameters)
        except UnreadableObjectError as error:
            if self._source_object is None:
                raise
            raise await super().why_unreadable(self._source_object, str(error)) from error
        if not convert.items(answer.get("FaceDetails")):
            raise ConfigurationError(
                f"option reference_image: there is no face in {self.options.reference_image}"
            )

    def _source_parameter(self) -> dict[str, Any]:
        try:
            if self._source_object is not None:
                source = Image(self._source_object, _never)
                return image_parameter(source, "reference")
            return image_parameter(Image.from_bytes(self._source_file or b""), "bytes")
        except InvalidImageError as error:
            raise ConfigurationError(f"option reference_image: {error}") from error


def _never() -> bytes:
    raise RetriableError("the reference image is sent by reference, never read")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"option reference_image: {path} cannot be read ({error}); "
            "give a file's path, or s3://bucket/key"
        ) from error


def _s3_object(uri: str) -> ImageReference:
    """Parse ``s3://bucket/key`` or ``s3://bucket/key?versionId=...``."""
    name, _, version = uri.partition("?versionId=")
    try:
        place = S3Uri.parse(name)
        return ImageReference(place.bucket, place.key, version_id=version or None, etag=ANY_ETAG)
    except ValueError as error:
        raise ConfigurationError(
            f"option reference_image: {uri} names no object ({error}); give s3://bucket/key"
        ) from error
