"""All checks, in the order of the report."""

from retinue_sdk.testing import (
    check_answers,
    check_async,
    check_errors,
    check_images,
    check_life,
    check_options,
)
from retinue_sdk.testing.check import Check

CHECKS: tuple[Check, ...] = tuple(
    check
    for module in (
        check_options,
        check_answers,
        check_images,
        check_errors,
        check_life,
        check_async,
    )
    for check in module.CHECKS.all
)
"""All checks."""
