"""Stopping models that run while nobody keeps them: the last resort against forgotten ones."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from retinue_history import KeptModel
from retinue_sdk import ConfigurationError, DetectorError, ManagedModel, ModelState

from retinue_workers.hosted_models.controller import Ledger

REAP_SECONDS = 60.0
"""How long the reaper has a model's lease at most, so that no keeper acts at the same time."""


class ReaperLedger(Ledger, Protocol):
    """A ledger that also lists what it knows."""

    def models(self) -> list[KeptModel]:
        """All models that were ever kept."""


@dataclass(frozen=True, slots=True)
class Reaped:
    """What became of a model.

    Attributes:
        model: Its name.
        action: ``stopped``, ``kept`` (somebody keeps it), ``idle`` (it costs nothing), ``later``
            (it cannot be stopped yet) or ``failed``.
        reason: Why.
    """

    model: str
    action: str
    reason: str


def reap(
    ledger: ReaperLedger,
    *,
    make: Callable[[KeptModel], ManagedModel | None],
    found: Iterable[tuple[str, ManagedModel]] = (),
    holder: str,
    clock: Callable[[], float],
) -> Sequence[Reaped]:
    """Stop every model that runs without a lease in force.

    A lease is in force as long as a worker lives that would use the model; without one, nobody
    works off what waits, so the model only costs.

    Args:
        ledger: What is known.
        make: Makes a model that the ledger knows; ``None`` if its plugin is not here.
        found: Detectors' names with models that the provider hosts, known to the ledger or not.
        holder: What tells this reaper from every keeper.
        clock: Seconds since the epoch.
    """
    known = ledger.models()
    seen = {kept.model for kept in known}
    strangers = {
        model.name: (KeptModel(model.name, detector, {}, None, 0), model)
        for detector, model in found
        if model.name not in seen
    }
    done = [_safely(ledger, kept, make, holder, clock()) for kept in known]
    for stranger, model in strangers.values():
        done.append(_safely(ledger, stranger, _always(model), holder, clock()))
    return done


def _always(model: ManagedModel) -> Callable[[KeptModel], ManagedModel]:
    return lambda _: model


def _safely(
    ledger: ReaperLedger,
    kept: KeptModel,
    make: Callable[[KeptModel], ManagedModel | None],
    holder: str,
    now: float,
) -> Reaped:
    """One model that cannot be had keeps no other from being stopped."""
    try:
        return _one(ledger, kept, make, holder, now)
    except (DetectorError, ConfigurationError) as error:
        return Reaped(kept.model, "failed", str(error))


def _one(
    ledger: ReaperLedger,
    kept: KeptModel,
    make: Callable[[KeptModel], ManagedModel | None],
    holder: str,
    now: float,
) -> Reaped:
    if kept.holder is not None:
        return Reaped(kept.model, "kept", f"kept by {kept.holder}")
    if kept.keep_until is not None and now < kept.keep_until:
        return Reaped(kept.model, "kept", "somebody wants it to run")
    model = make(kept)
    if model is None:
        return Reaped(kept.model, "failed", f"no plugin has the detector {kept.detector}")
    status = model.describe()
    mine = ledger.hold(
        kept.model,
        detector=kept.detector,
        options=kept.options,
        holder=holder,
        lease_seconds=REAP_SECONDS,
    )
    if mine.holder != holder:
        return Reaped(kept.model, "kept", f"kept by {mine.holder}")
    try:
        match status.state:
            case ModelState.RUNNING:
                ledger.begin_session(
                    kept.model,
                    mine.token,
                    units=status.units or 1,
                    usd_per_unit_minute=model.usd_per_unit_minute,
                    reason="found by the reaper",
                )
                why = "it ran, and no worker kept it"
                ledger.mark_session(kept.model, mine.token, "stopping", f"reaped: {why}")
                model.stop()
                return Reaped(kept.model, "stopped", why)
            case ModelState.STARTING | ModelState.STOPPING:
                return Reaped(kept.model, "later", f"it cannot be stopped while it is {status}")
            case ModelState.PREPARING:
                return Reaped(kept.model, "idle", str(status))
            case _:
                ledger.mark_session(kept.model, mine.token, "stopped", str(status))
                return Reaped(kept.model, "idle", str(status))
    finally:
        ledger.release(kept.model, holder)
