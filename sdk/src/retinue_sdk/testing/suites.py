"""The checks as test classes for pytest. Subclass them, and define a fixture ``subject``.

::

    class TestDetector(BaseDetector):
        pass

The fixtures come from the pytest plugin that the SDK installs (``retinue-sdk[testing]``).
"""

from collections.abc import Callable
from typing import Any

from retinue_sdk.testing.bench import Bench, CheckFailedError
from retinue_sdk.testing.check import Check, NotApplicableError, Suite
from retinue_sdk.testing.checks import CHECKS


class _Checked:
    """A suite whose checks become test methods."""

    suite: Suite

    def __init_subclass__(cls, suite: Suite | None = None, **kwargs: Any) -> None:
        """Add a method for each check, unless the base class has them already."""
        super().__init_subclass__(**kwargs)
        if suite is None:
            return
        cls.suite = suite
        for check in CHECKS:
            if check.suite is suite:
                method = _test(check)
                setattr(cls, method.__name__, method)


def _test(check: Check) -> Callable[[object, Bench], None]:
    def test(self: object, retinue_bench: Bench) -> None:
        import pytest  # imported here because the rest of this package works without pytest

        del self
        try:
            check(retinue_bench)
        except NotApplicableError as reason:
            pytest.skip(str(reason))

    test.__name__ = f"test_{check.id.replace('-', '_')}"
    test.__qualname__ = f"{check.suite}.{test.__name__}"
    test.__doc__ = f"{check.meaning}."
    return test


class BaseDetector(_Checked, suite=Suite.DETECTOR):
    """The requirements of every detector."""

    def test_suites_match_capabilities(self, retinue_bench: Bench, request: Any) -> None:
        """Check that the module has a suite for each capability that the detector declares."""
        given = {
            base.suite
            for base in vars(request.module).values()
            if isinstance(base, type) and issubclass(base, SUITES) and base not in SUITES
        }
        missing = [
            suite for suite in Suite if suite.why_not(retinue_bench) is None and suite not in given
        ]
        if missing:
            classes = (
                f"class Test{suite.removeprefix('Base')}({suite}): pass" for suite in missing
            )
            raise CheckFailedError(
                f"the detector declares more than is tested; add: {'; '.join(classes)}"
            )


class BasePixels(_Checked, suite=Suite.PIXELS):
    """The requirements of detectors that declare ``Input.PIXELS``."""


class BaseBatches(_Checked, suite=Suite.BATCHES):
    """The requirements of detectors that declare ``max_batch_size`` above 1."""


class BaseConcurrent(_Checked, suite=Suite.CONCURRENT):
    """The requirements of detectors that declare ``max_concurrency`` above 1."""


class BaseAsync(_Checked, suite=Suite.ASYNC):
    """The requirements of subclasses of ``AsyncDetector``."""


SUITES: tuple[type[_Checked], ...] = (
    BaseDetector,
    BasePixels,
    BaseBatches,
    BaseConcurrent,
    BaseAsync,
)
"""The classes to subclass."""
