"""The errors, sorted by what to do next."""

import math
import pickle

import pytest
from retinue_sdk import (
    ConfigurationError,
    DetectorError,
    DetectorNotReadyError,
    InvalidImageError,
    RetinueError,
    RetriableError,
)


@pytest.mark.parametrize(
    "error", [RetriableError, DetectorNotReadyError, InvalidImageError, DetectorError]
)
def test_what_goes_wrong_while_detecting_is_a_detector_error(error: type[RetinueError]) -> None:
    assert issubclass(error, DetectorError)
    assert issubclass(error, RetinueError)


def test_a_wrong_setting_is_none() -> None:
    assert not issubclass(ConfigurationError, DetectorError)
    assert issubclass(ConfigurationError, RetinueError)


def test_the_docstring_is_the_message_unless_there_is_another() -> None:
    assert str(DetectorNotReadyError()) == "The detector cannot process any image at the moment."
    assert str(DetectorNotReadyError("The model is stopped.")) == "The model is stopped."
    assert str(InvalidImageError("")) == ""


def test_a_subclass_without_docstring_says_its_name() -> None:
    class BusyError(RetinueError):
        pass

    assert str(BusyError()) == "BusyError"


@pytest.mark.parametrize("error", [RetriableError, DetectorNotReadyError])
def test_a_wait_is_a_finite_number_of_seconds(
    error: type[RetriableError] | type[DetectorNotReadyError],
) -> None:
    assert error("busy").retry_after_seconds is None
    assert error("busy", retry_after_seconds=0).retry_after_seconds == 0
    assert error(retry_after_seconds=2.5).retry_after_seconds == 2.5
    for wrong in (-1, -0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="retry_after_seconds must be 0 or more"):
            error(retry_after_seconds=wrong)


def test_an_invalid_image_has_a_code() -> None:
    error = InvalidImageError()
    assert (error.code, error.retryable) == ("invalid_image", False)
    gone = InvalidImageError("gone", code="object_gone", retryable=True)
    assert (str(gone), gone.code, gone.retryable) == ("gone", "object_gone", True)


def test_errors_survive_pickling() -> None:
    # Between processes, as a detector with workers of its own sends them.
    gone = pickle.loads(pickle.dumps(InvalidImageError("gone", code="object_gone", retryable=True)))
    assert (str(gone), gone.code, gone.retryable) == ("gone", "object_gone", True)
    busy = pickle.loads(pickle.dumps(RetriableError("busy", retry_after_seconds=3)))
    assert (str(busy), busy.retry_after_seconds) == ("busy", 3)
