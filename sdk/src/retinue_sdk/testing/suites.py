"""The checks as test classes for pytest: subclass them, and give a fixture ``subject``.

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
    """Turns the checks of a suite into test methods."""

    suite: Suite

    def __init_subclass__(cls, suite: Suite | None = None, **kwargs: Any) -> None:
        """Add a method for each check, unless an author subclasses a suite that has them."""
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
        import pytest  # only here: the rest of this package works without it

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
    """What every detector must do."""

    def test_suites_match_capabilities(self, retinue_bench: Bench, request: Any) -> None:
        """Each capability that the detector declares has its suite in the module."""
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
    """What a detector must do that declares ``Input.PIXELS``."""


class BaseBatches(_Checked, suite=Suite.BATCHES):
    """What a detector must do that declares ``max_batch_size`` above 1."""


class BaseConcurrent(_Checked, suite=Suite.CONCURRENT):
    """What a detector must do that declares ``max_concurrency`` above 1."""


class BaseAsync(_Checked, suite=Suite.ASYNC):
    """What an ``AsyncDetector`` must do."""


SUITES: tuple[type[_Checked], ...] = (
    BaseDetector,
    BasePixels,
    BaseBatches,
    BaseConcurrent,
    BaseAsync,
)
"""The classes to subclass."""
