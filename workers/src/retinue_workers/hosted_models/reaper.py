"""Stop models that run without a controller."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from retinue_history import HistoryError, HostedModel, ModelSessions
from retinue_sdk import ConfigurationError, DetectorError, ManagedModel, ModelState
from retinue_sdk.errors import format_error

REAP_SECONDS = 60.0
"""How long the reaper holds a model's lease at most, so that no controller acts meanwhile."""


@dataclass(frozen=True, slots=True)
class Reaped:
    """The action that the reaper took on a model.

    Attributes:
        model: Its name.
        action: ``stopped``, ``in_use`` (it has a controller), ``idle`` (it costs nothing),
            ``later`` (it cannot be stopped yet) or ``failed``.
        reason: Why it took this action.
    """

    model: str
    action: str
    reason: str


def reap(
    sessions: ModelSessions,
    *,
    make: Callable[[HostedModel], ManagedModel | None],
    found: Iterable[tuple[str, ManagedModel]] = (),
    holder: str,
    clock: Callable[[], float],
) -> Sequence[Reaped]:
    """Stop every model that runs without a valid lease.

    A lease is valid while a worker that uses the model is alive. Without a worker, messages aren't
    processed and the model only costs money.

    Args:
        sessions: Leases and sessions of known models.
        make: Creates a known model; ``None`` if its plugin isn't installed.
        found: Detectors' names with models that the provider hosts, known or not.
        holder: A unique name of this reaper.
        clock: Seconds since the epoch.
    """
    known = sessions.list_models()
    seen = {hosted.model for hosted in known}
    strangers = {
        model.name: (HostedModel(model.name, detector, {}, None, 0), model)
        for detector, model in found
        if model.name not in seen
    }
    done = [_safely(sessions, hosted, make, holder, clock()) for hosted in known]
    for stranger, model in strangers.values():
        done.append(_safely(sessions, stranger, _always(model), holder, clock()))
    return done


def _always(model: ManagedModel) -> Callable[[HostedModel], ManagedModel]:
    return lambda _: model


def _safely(
    sessions: ModelSessions,
    hosted: HostedModel,
    make: Callable[[HostedModel], ManagedModel | None],
    holder: str,
    now: float,
) -> Reaped:
    """Reap one model. An error doesn't stop the others."""
    try:
        return _one(sessions, hosted, make, holder, now)
    except (HistoryError, KeyboardInterrupt):
        raise
    except (DetectorError, ConfigurationError) as error:
        return Reaped(hosted.model, "failed", str(error))
    except BaseException as error:  # noqa: BLE001 - a plugin can raise anything
        return Reaped(hosted.model, "failed", format_error(error))


def _one(
    sessions: ModelSessions,
    hosted: HostedModel,
    make: Callable[[HostedModel], ManagedModel | None],
    holder: str,
    now: float,
) -> Reaped:
    if hosted.holder is not None:
        return Reaped(hosted.model, "in_use", f"controlled by {hosted.holder}")
    if hosted.keep_until is not None and now < hosted.keep_until:
        return Reaped(hosted.model, "in_use", "`retinue models start` asked for it")
    model = make(hosted)
    if model is None:
        return Reaped(hosted.model, "failed", f"no plugin has the detector {hosted.detector}")
    status = model.describe()
    mine = sessions.acquire_lease(
        hosted.model,
        detector=hosted.detector,
        options=hosted.options,
        holder=holder,
        lease_seconds=REAP_SECONDS,
    )
    if mine.holder != holder:
        return Reaped(hosted.model, "in_use", f"controlled by {mine.holder}")
    try:
        match status.state:
            case ModelState.RUNNING:
                sessions.begin_session(
                    hosted.model,
                    mine.token,
                    units=status.units or 1,
                    usd_per_unit_minute=model.usd_per_unit_minute,
                    reason="found by the reaper",
                )
                why = "it ran, and no worker controlled it"
                sessions.mark_session(hosted.model, mine.token, "stopping", f"reaped: {why}")
                model.stop()
                return Reaped(hosted.model, "stopped", why)
            case ModelState.STARTING | ModelState.STOPPING:
                return Reaped(hosted.model, "later", f"it cannot be stopped while it is {status}")
            case ModelState.PREPARING:
                return Reaped(hosted.model, "idle", str(status))
            case _:
                sessions.mark_session(hosted.model, mine.token, "stopped", str(status))
                return Reaped(hosted.model, "idle", str(status))
    finally:
        sessions.release_lease(hosted.model, holder)
