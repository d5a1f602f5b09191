"""Detectors that call one operation for each image."""

from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import Any

from retinue_sdk import (
    ConfigurationError,
    DetectorError,
    Findings,
    FutureDetector,
    Image,
    Result,
    RetinueError,
)

from retinue_rekognition.detector import OptionsT, RekognitionDetector, as_result
from retinue_rekognition.errors import RejectedError, UnreadableObjectError
from retinue_rekognition.image_parameter import image_parameter


class OneCallDetector(RekognitionDetector[OptionsT], FutureDetector[OptionsT]):
    """A detector that calls one operation for each image.

    Subclasses name the operation and say what its parameters are and what its answer means.
    """

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """The request's parameters besides the image."""

    @abstractmethod
    def findings(self, response: dict[str, Any]) -> Findings:
        """What the operation's answer means."""

    def submit(self, image: Image) -> Future[Result]:
        """Ask Rekognition about an image."""
        answer: Future[Result] = Future()
        try:
            parameters = self.parameters()
            sent = image_parameter(image, self.options.send, max_sent_bytes=self.max_sent_bytes)
            self.api.send(
                self.operation,
                {**parameters, "Image": sent},
                partial(self._told, answer, image, parameters),
            )
        except (DetectorError, ConfigurationError) as error:
            answer.set_result(as_result(error))
        return answer

    def _told(
        self,
        answer: Future[Result],
        image: Image,
        parameters: dict[str, Any],
        response: dict[str, Any] | RetinueError,
    ) -> None:
        """Answer; where that takes another question, on a thread that may wait for it."""
        if isinstance(response, RejectedError | UnreadableObjectError):
            arguments = (answer, image, parameters, response)
            Thread(target=self._blame, args=arguments, name=f"{self.name}-why", daemon=True).start()
        elif isinstance(response, RetinueError):
            answer.set_result(as_result(response))
        else:
            _settle(answer, partial(self.findings, response))

    def _blame(
        self,
        answer: Future[Result],
        image: Image,
        parameters: dict[str, Any],
        error: RejectedError | UnreadableObjectError,
    ) -> None:
        """Find out whether it is the image that Rekognition objects to."""

        def ask() -> Result:
            if isinstance(error, UnreadableObjectError):
                return self.why_unreadable(image.reference, str(error))
            self.check_options(self.operation, parameters, error)
            return error

        _settle(answer, ask)


def _settle(answer: Future[Result], find: Callable[[], Result]) -> None:
    """Answer with what is found, or with why it is not."""
    try:
        answer.set_result(find())
    except (DetectorError, ConfigurationError) as error:
        answer.set_result(as_result(error))
    except Exception as error:  # noqa: BLE001 - a bug, which the worker logs
        answer.set_exception(error)
