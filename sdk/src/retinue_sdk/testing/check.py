"""One thing that a detector must do, and how to tell that it does not."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from retinue_sdk.detector import AsyncDetector, Input
from retinue_sdk.testing.bench import Bench, CheckFailedError


class NotApplicableError(Exception):
    """A check has nothing to say about this detector; the message tells why."""


class Suite(StrEnum):
    """Which detectors a check is for; the values are the names of the test classes."""

    DETECTOR = "BaseDetector"
    """Every detector."""
    PIXELS = "BasePixels"
    """Detectors that declare ``Input.PIXELS``."""
    BATCHES = "BaseBatches"
    """Detectors that declare ``max_batch_size`` above 1."""
    CONCURRENT = "BaseConcurrent"
    """Detectors that declare ``max_concurrency`` above 1."""
    ASYNC = "BaseAsync"
    """Subclasses of ``AsyncDetector``."""

    def why_not(self, bench: Bench) -> str | None:
        """Return why the checks aren't for this detector; ``None`` if they are."""
        capabilities = bench.capabilities
        is_async = issubclass(bench.subject.detector, AsyncDetector)
        match self:
            case Suite.ASYNC if not is_async:
                return "the detector isn't an AsyncDetector"
            case Suite.PIXELS if capabilities.input is not Input.PIXELS:
                return f"the detector's input is {capabilities.input}, not pixels"
            case Suite.BATCHES if is_async or capabilities.max_batch_size == 1:
                return "the detector takes one image a call"
            case Suite.CONCURRENT if capabilities.max_concurrency == 1:
                return "the detector takes one call at a time"
        return None

    def check(self, bench: Bench) -> None:
        """Make sure that the checks are for this detector.

        Raises:
            NotApplicableError: They aren't. The message says why.
        """
        reason = self.why_not(bench)
        if reason is not None:
            raise NotApplicableError(reason)


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        id: Its name, words joined by hyphens; stable.
        suite: Which detectors it is for.
        meaning: What a detector that passes does, in one line.
        remedy: What to change in one that fails.
        look: Looks, and raises ``CheckFailedError``.
    """

    id: str
    suite: Suite
    meaning: str
    remedy: str
    look: Callable[[Bench], None]

    def __call__(self, bench: Bench) -> None:
        """Apply the check.

        Raises:
            CheckFailedError: The detector fails it; says what happened, what was expected, and the
                remedy.
            NotApplicableError: It is not for this detector.
        """
        try:
            self.suite.check(bench)
            self.look(bench)
        except NotApplicableError:
            raise
        except Exception as error:  # a detector can raise anything, anywhere
            what = str(error)
            if not isinstance(error, CheckFailedError):
                what = f"{type(error).__name__}: {error}"
            raise CheckFailedError(
                f"{self.id}: {what}\n  expected: {self.meaning}\n  remedy: {self.remedy}"
            ) from error


class Checks:
    """Collects the checks of a module, in order; each is a function that a decorator describes."""

    def __init__(self) -> None:
        """None yet."""
        self.all: list[Check] = []

    def add(
        self, name: str, meaning: str, *, remedy: str, suite: Suite = Suite.DETECTOR
    ) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
        """Make a check of a function."""

        def keep(look: Callable[[Bench], None]) -> Callable[[Bench], None]:
            self.all.append(Check(name, suite, meaning, remedy, look))
            return look

        return keep
