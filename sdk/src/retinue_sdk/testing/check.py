"""A check: one requirement of a detector, and its test."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from retinue_sdk.detector import AsyncDetector, Input
from retinue_sdk.testing.bench import Bench, CheckFailedError


class NotApplicableError(Exception):
    """A check doesn't apply to this detector. The message has the reason."""


class Suite(StrEnum):
    """The kind of detector that a check applies to. Values are names of test classes."""

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
        """Return why these checks don't apply to the detector; ``None`` if they do."""
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
        """Raise unless these checks apply to the detector.

        Raises:
            NotApplicableError: They don't. The message has the reason.
        """
        reason = self.why_not(bench)
        if reason is not None:
            raise NotApplicableError(reason)


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        id: Its stable name: words joined by hyphens.
        suite: The detectors that it applies to.
        meaning: The requirement, in one line.
        remedy: How to fix a detector that fails.
        look: The test. It raises ``CheckFailedError``.
    """

    id: str
    suite: Suite
    meaning: str
    remedy: str
    look: Callable[[Bench], None]

    def __call__(self, bench: Bench) -> None:
        """Apply the check.

        Raises:
            CheckFailedError: The detector fails. The message has the result, the expected result
                and the remedy.
            NotApplicableError: It doesn't apply to this detector.
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
    """The checks of a module, in order. A decorator registers and describes each function."""

    def __init__(self) -> None:
        self.all: list[Check] = []

    def add(
        self, name: str, meaning: str, *, remedy: str, suite: Suite = Suite.DETECTOR
    ) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
        """Register a function as a check."""

        def keep(look: Callable[[Bench], None]) -> Callable[[Bench], None]:
            self.all.append(Check(name, suite, meaning, remedy, look))
            return look

        return keep
