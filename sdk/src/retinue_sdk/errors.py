"""Errors that a detector may raise, by the worker's next step.

::

    RetinueError
    ├── ConfigurationError      the worker refuses to start and names the setting and the remedy
    └── DetectorError           detection failed
        ├── RetriableError      wait, then try the same image again inside the worker
        ├── DetectorNotReadyError   stop receiving messages until the detector is ready again
        │   └── ObjectRefusedError  the image's object is refused, perhaps others too: compare
        ├── JobLostError        the service has forgotten a video's job: start another
        └── InvalidImageError   this image will never work: record a failed run, continue

Any other exception is a bug in the detector. The worker logs its traceback and requeues the
message. At the message's last receive, the worker records the failure.
"""

import math
import traceback
from decimal import Decimal


class RetinueError(Exception):
    """An error that Retinue handles. The docstring of a subclass is its default message."""

    def __init__(self, message: str | None = None) -> None:
        """Set the message. The default is the first line of the class's docstring."""
        doc = (type(self).__doc__ or type(self).__name__).strip()
        super().__init__(message if message is not None else doc.splitlines()[0])


class ConfigurationError(RetinueError):
    """A setting is wrong and must be changed.

    Raise it from a detector's constructor or ``start``. The message has the wrong option,
    the reason, and the allowed values. The worker prepends the detector's name.
    """


class DetectorError(RetinueError):
    """A detector could not process an image.

    Args:
        message: The error message.
        billed_units: Units that were billed anyway, in the units of the detector's price.
    """

    def __init__(
        self, message: str | None = None, *, billed_units: Decimal | int = Decimal(0)
    ) -> None:
        super().__init__(message)
        units = Decimal(billed_units)
        if not units.is_finite() or units < 0:
            raise ValueError(f"billed units must be 0 or more, not {billed_units}")
        self.billed_units = units


class TransientError(DetectorError):
    """A temporary error. A later attempt may succeed."""

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after_seconds: float | None = None,
        billed_units: Decimal | int = Decimal(0),
    ) -> None:
        super().__init__(message, billed_units=billed_units)
        if retry_after_seconds is not None and not 0 <= retry_after_seconds < math.inf:
            raise ValueError(f"retry_after_seconds must be 0 or more, not {retry_after_seconds!r}")
        self.retry_after_seconds = retry_after_seconds


class RetriableError(TransientError):
    """The detector could not answer this time.

    Raise it (or return it for one image of a batch) for throttling, timeouts and connection
    resets. The worker keeps the message, waits and tries again.

    Args:
        message: The error message, for the log.
        retry_after_seconds: Minimum wait in seconds. ``None`` means the worker's exponential
            backoff.
        throttled: Whether the service reported too many calls. If this error leaves a
            ``rate_limited`` block, it slows down the calls of all workers.
        billed_units: Units that were billed anyway.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after_seconds: float | None = None,
        throttled: bool = False,
        billed_units: Decimal | int = Decimal(0),
    ) -> None:
        super().__init__(
            message, retry_after_seconds=retry_after_seconds, billed_units=billed_units
        )
        self.throttled = throttled


class DetectorNotReadyError(TransientError):
    """The detector cannot process any image at the moment.

    Raise it for a stopped model, a missing collection, lost permissions or an exhausted budget. No
    image fails. The worker stops receiving messages, keeps those it has, and tries again.

    Args:
        message: The missing condition, and how to restore it.
        retry_after_seconds: Wait before the next attempt, in seconds. ``None`` leaves it to the
            worker.
    """


class ObjectRefusedError(DetectorNotReadyError):
    """The image's object can't be read, and other objects may be affected too.

    The image doesn't fail yet. The worker continues with the images it has, receives a few more
    messages at a time and tries this image again. Once other images can be read, raise
    ``InvalidImageError`` for this one instead.
    """


class JobLostError(DetectorError):
    """The service no longer has the job, or its result.

    Only a ``JobDetector`` raises it. The worker starts another job for the video, up to three in
    all.
    """


class InvalidImageError(DetectorError):
    """The image can never be processed: it is corrupt, unsupported, too large or gone.

    The worker records a failed run with ``code`` and deletes the message.

    Args:
        message: The problem with the image, for its uploader.
        code: A stable identifier in snake_case, stored as the run's ``error_code``. The codes that
            Retinue itself uses are in ``docs/errors.md``.
        retryable: Whether another attempt at the same bytes can succeed, as for an image that is
            merely gone. By default it can't.
        billed_units: Units that were billed anyway.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str = "invalid_image",
        retryable: bool = False,
        billed_units: Decimal | int = Decimal(0),
    ) -> None:
        super().__init__(message, billed_units=billed_units)
        self.code = code
        self.retryable = retryable


def format_error(error: BaseException) -> str:
    """Return an error's class and text, even if the text can't be computed."""
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 - its text can't be computed
        return type(error).__name__


def drop_tracebacks(error: BaseException) -> None:
    """Remove the tracebacks of an error and its causes, after it has been logged.

    Their frames have the image, and variables of a plugin that can be as large. What refers to the
    error is often among them. The cycle would keep the bytes until the garbage collector runs,
    which counts objects, not bytes.
    """
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        left += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            left += one.exceptions


_CALLERS = frozenset(
    {"retinue_sdk", "retinue_workers", "retinue_cli", "asyncio", "click", "pluggy", "pydantic"}
)
"""Packages that call plugins. Their frames don't explain an error of a plugin."""


def format_plugin_frames(error: BaseException) -> str:
    """Return the frames of a plugin's code that led to an error, to print below the error's text.

    Frames of Retinue's own code before and after the plugin's are omitted. The result is empty if
    no frame belongs to a plugin.
    """
    frames = [
        (str(frame.f_globals.get("__name__", "")).partition(".")[0] in _CALLERS, summary)
        for (frame, _), summary in zip(
            traceback.walk_tb(error.__traceback__),
            traceback.extract_tb(error.__traceback__),
            strict=True,
        )
    ]
    while frames and frames[0][0]:
        frames.pop(0)
    while frames and frames[-1][0]:
        frames.pop()
    lines = traceback.format_list([summary for _, summary in frames])
    return "".join(f"\n{line.rstrip()}" for line in lines)
