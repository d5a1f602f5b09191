"""Register the detectors, and an observer that misbehaves for one of them."""

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
from retinue_hostile.asynchronous import BlocksLoop, ConformingAsync, RefusesCancellation
from retinue_hostile.behaviour import Hangs, Leaks, Observed, Slow
from retinue_hostile.conforming import Conforming
from retinue_hostile.crashes import Crashes
from retinue_hostile.echo import Echo
from retinue_hostile.failing_answers import (
    AllForOne,
    BatchNormalised,
    ColourOnly,
    FailedIsEmpty,
    ForeignNumbers,
    ForgetsTwins,
    Gratis,
    Hopeful,
    Hopeless,
    Moody,
    NeedsRoom,
    NothingIsWrong,
    Overcharged,
    OwnWords,
    PixelBoxes,
    PreparesInVain,
    SecretReader,
    SlowWhenFull,
    Unturned,
)
from retinue_hostile.failing_life import (
    Clamps,
    Halves,
    Hoards,
    Lenient,
    OneLife,
    Restless,
    Shared,
    Talks,
    Undescribed,
)
from retinue_hostile.failures import (
    Exits,
    Invalid,
    Misconfigured,
    NotReady,
    Raises,
    RaisesForOne,
    Retriable,
)
from retinue_hostile.shortages import Shortage

FAILING: tuple[type[AnyDetector], ...] = (
    Undescribed,
    Halves,
    Lenient,
    Clamps,
    Restless,
    ForgetsTwins,
    ForeignNumbers,
    PixelBoxes,
    NothingIsWrong,
    Moody,
    Gratis,
    SlowWhenFull,
    SecretReader,
    PreparesInVain,
    BatchNormalised,
    Unturned,
    ColourOnly,
    NeedsRoom,
    OwnWords,
    FailedIsEmpty,
    AllForOne,
    Hopeless,
    Hopeful,
    Overcharged,
    OneLife,
    Shared,
    Talks,
    Hoards,
    BlocksLoop,
    RefusesCancellation,
)
"""A detector for each check of ``retinue_sdk.testing`` that fails only that check. Its name is
``failing-`` and the check's id.
"""

DETECTORS: tuple[type[AnyDetector], ...] = (
    Crashes,
    *FAILING,
    Conforming,
    ConformingAsync,
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
    Shortage,
    Slow,
    Unicode,
    WrongLength,
    WrongType,
)
"""All detectors of this plugin."""


@hookimpl
def retinue_register_detectors(register: Callable[[type[AnyDetector]], None]) -> None:
    """Register all detectors. None does anything unless the settings name it."""
    for detector in DETECTORS:
        register(detector)


@hookimpl
def retinue_run_finished(run: Run) -> None:
    """Raise only for runs of ``hostile-observed``, so that other tests aren't affected."""
    if run.detector == Observed.name:
        raise RuntimeError("hostile: the observer raised")
