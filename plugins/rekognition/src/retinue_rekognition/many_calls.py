"""Detectors that make several calls for an image, one after the other."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from retinue_sdk import ConfigurationError, DetectorError, Findings, Image, Result

from retinue_rekognition.detector import OptionsT, RekognitionDetector, as_result
from retinue_rekognition.errors import RejectedError, UnreadableObjectError
from retinue_rekognition.image_parameter import image_parameter


class ManyCallsDetector(RekognitionDetector[OptionsT]):
    """A detector that makes several calls for an image."""

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Ask Rekognition about each image."""
        return [self._answer(image) for image in images]

    def _answer(self, image: Image) -> Result:
        try:
            try:
                return self.look(image)
            except UnreadableObjectError as error:
                raise self.why_unreadable(image.reference, str(error)) from error
        except (DetectorError, ConfigurationError) as error:
            return as_result(error)

    @abstractmethod
    def look(self, image: Image) -> Findings:
        """Ask about one image.

        Raises:
            DetectorError: It could not be looked at.
        """

    def ask(self, image: Image, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Call an operation with the image.

        Raises:
            DetectorError: It failed. A rejected parameter is blamed on the image only after a good
                image was accepted with the same options.
        """
        sent = image_parameter(image, self.options.send, max_sent_bytes=self.max_sent_bytes)
        try:
            return self.api.call(operation, {**parameters, "Image": sent})
        except RejectedError as error:
            self.check_options(operation, parameters, error)
            raise
