"""Checks of detectors, for pytest and for ``retinue plugins check``."""

from retinue_sdk.testing.bench import Bench, CheckFailedError, WatchedImage
from retinue_sdk.testing.check import Check, NotApplicableError, Suite
from retinue_sdk.testing.checks import CHECKS
from retinue_sdk.testing.jobs import BaseJobs, JobSubject
from retinue_sdk.testing.report import CheckResult, Report, run_checks
from retinue_sdk.testing.subject import Fault, Subject
from retinue_sdk.testing.suites import (
    BaseAsync,
    BaseBatches,
    BaseConcurrent,
    BaseDetector,
    BasePixels,
)

__all__ = [
    "CHECKS",
    "BaseAsync",
    "BaseBatches",
    "BaseConcurrent",
    "BaseDetector",
    "BaseJobs",
    "BasePixels",
    "Bench",
    "Check",
    "CheckFailedError",
    "CheckResult",
    "Fault",
    "JobSubject",
    "NotApplicableError",
    "Report",
    "Subject",
    "Suite",
    "WatchedImage",
    "run_checks",
]
