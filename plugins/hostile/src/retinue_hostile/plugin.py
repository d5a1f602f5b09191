"""Registers the detectors, and an observer that misbehaves for one of them."""

from collections.abc import Callable

from retinue_sdk import AnyDetector, Run, hookimpl

from retinue_hostile.answers import (
    HugeResponse,
    Many,
    Nan,
    OutsideBoxes,
    Unicode,
    WrongLength,
    WrongType,
)
from retinue_hostile.behaviour import Hangs, Leaks, Observed, Slow
from retinue_hostile.crashes import Crashes
from retinue_hostile.echo import Echo
from retinue_hostile.failures import (
    Exits,
    Invalid,
    Misconfigured,
    NotReady,
    Raises,
    RaisesForOne,
    Retriable,
)

DETECTORS: tuple[type[AnyDetector], ...] = (
    Crashes,
    Echo,
    Exits,
    Hangs,
    HugeResponse,
    Invalid,
    Leaks,
    Many,
    Misconfigured,
    Nan,
    NotReady,
    Observed,
    OutsideBoxes,
    Raises,
    RaisesForOne,
    Retriable,
    Slow,
    Unicode,
    WrongLength,
    WrongType,
)
"""Every detector of this plugin."""


@hookimpl
def retinue_register_detectors(register: Callable[[type[AnyDetector]], None]) -> None:
    """Register them all; none does anything until the settings name it."""
    for detector in DETECTORS:
        register(detector)


@hookimpl
def retinue_run_finished(run: Run) -> None:
    """Raise for the runs of ``hostile-observed`` alone, so that other tests are left in peace."""
    if run.detector == Observed.name:
        raise RuntimeError("hostile: the observer raised")
