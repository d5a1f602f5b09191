"""``retinue models``."""

import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import click
from retinue_history import (
    HistoryUnavailableError,
    HostedModel,
    ModelSession,
)
from retinue_sdk import ConfigurationError, DetectorError, ManagedModel, ModelState
from retinue_sdk.errors import format_error
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.hosted_models.reaper import reap
from retinue_workers.settings.settings import Settings

from retinue_cli.commands.models_promote import promote
from retinue_cli.commands.models_train import train
from retinue_cli.options.model_sessions import open_model_sessions

_COLUMNS = "{:16}  {:>8}  {:>10}  {:20}  {}"
"""Of `retinue models cost`."""


@click.group("models", short_help="Manage models that are billed while they run.")
def models() -> None:
    """Models that workers start and stop (RETINUE_HOSTED_MODELS), and what each session cost."""


models.add_command(train)
models.add_command(promote)


@models.command()
def status() -> None:
    """Show each model: its state, its controller, its cost so far, and why it does not serve."""
    settings = Settings.load()
    with open_model_sessions(settings) as sessions:
        models = sessions.list_models()
        open_sessions = {one.model: one for one in sessions.list_sessions(only_open=True)}
        for one in models:
            _tell(one, _describe(_make(settings, one)), open_sessions.get(one.model))
        known = {one.model for one in models}
        others = [(name, model) for name, model in _configured(settings) if model.name not in known]
        for name, model in others:
            _tell(HostedModel(model.name, name, {}, None, 0), _describe(model), None)
    if not models and not others:
        click.echo(
            "no model is known: name one in RETINUE_DETECTORS, or start a worker whose "
            "RETINUE_HOSTED_MODELS names it"
        )


@models.command()
@click.option("--minutes", type=click.IntRange(1, 10_080), default=60, show_default=True)
def start(minutes: int) -> None:
    """Have the configured models run, work or not, and forget that starts failed.

    The worker that controls the model starts it within seconds. Afterwards it stops as always.
    """
    settings = Settings.load()
    with open_model_sessions(settings) as sessions:
        for name, model in _required(settings):
            if not sessions.keep_running(model.name, time.time() + minutes * 60):
                raise ConfigurationError(
                    f"no worker has controlled {model.name} yet: start one with "
                    f"RETINUE_HOSTED_MODELS naming {name}, which starts the model when work waits"
                )
            click.echo(f"{model.name} is to run for {minutes} minutes")


@models.command()
def stop() -> None:
    """Stop the configured models now. A worker starts one again if work waits for it."""
    settings = Settings.load()
    with open_model_sessions(settings) as sessions:
        for _, model in _required(settings):
            sessions.keep_running(model.name, None)
            try:
                told = model.describe()
                if told.state is ModelState.RUNNING:
                    model.stop()
                    click.echo(f"{model.name} is stopping")
                elif told.state is ModelState.STARTING:
                    click.echo(
                        f"{model.name} cannot be stopped while it is starting: try again when it "
                        "runs. It is billed meanwhile"
                    )
                else:
                    click.echo(f"{model.name} does not run: {told}")
            except DetectorError as error:
                raise HistoryUnavailableError(str(error)) from error


@models.command("reap")
@click.option(
    "--models",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="Also look at hosted models of the account whose ARN, or whose project's, matches: "
    "'arn:aws:rekognition:*:*:project/birds/*'. May be repeated.",
)
def reap_command(patterns: Sequence[str]) -> None:
    """Stop models that run while no worker controls them. Run it on a schedule."""
    settings = Settings.load()
    plugins = Plugins(folder=settings.plugins_dir)
    unasked: list[str] = []
    with open_model_sessions(settings) as sessions:
        found = list(_configured(settings))
        for registration in plugins.registrations.values():
            name = registration.detector.name
            try:
                found += [(name, model) for model in registration.detector.find_models(patterns)]
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - one plugin must not keep the others' models
                unasked.append(f"{name}: {format_error(error)}")
        done = reap(
            sessions,
            make=lambda hosted: _make(settings, hosted),
            found=found,
            holder=f"reaper:{os.getpid()}",
            clock=time.time,
        )
    for one in done:
        click.echo(f"{one.action}: {one.model}: {one.reason}")
    if unasked:
        raise HistoryUnavailableError(f"cannot look for hosted models: {'; '.join(unasked)}")
    # Alarms count these lines, and wait for the last one (infra/modules/model_reaper).
    click.echo(f"models looked at: {len(done)}")
    if any(one.action == "failed" for one in done):
        raise HistoryUnavailableError("a model could not be looked at; it may be running")


@models.command()
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
def cost(limit: int) -> None:
    """Show each time that a model was hosted, the latest first, with its price."""
    with open_model_sessions(Settings.load()) as opened:
        sessions = opened.list_sessions(limit=limit)
    if sessions:
        click.echo(_COLUMNS.format("started, UTC", "unit min", "US dollars", "model", "why"))
    for session in sessions:
        click.echo(_line(session))
    total = sum((session.price_usd for session in sessions), Decimal(0))
    number = "1 session" if len(sessions) == 1 else f"{len(sessions):,} sessions"
    click.echo(f"{number}, ${total:,.2f}")


def _configured(settings: Settings) -> Iterator[tuple[str, ManagedModel]]:
    """The models of the detectors in the settings."""
    if settings.detectors:
        for detector in Plugins(folder=settings.plugins_dir).make(settings.detectors):
            model = detector.managed_model
            if model is not None:
                yield detector.name, model


def _required(settings: Settings) -> list[tuple[str, ManagedModel]]:
    found = list(_configured(settings))
    if not found:
        raise ConfigurationError(
            "RETINUE_DETECTORS names no detector with a model that is started and stopped"
        )
    return found


def _make(settings: Settings, hosted: HostedModel) -> ManagedModel | None:
    """The model by its detector's options; ``None`` if the plugin is not here, or fails."""
    try:
        plugins = Plugins(folder=settings.plugins_dir)
        [detector] = plugins.make({hosted.detector: dict(hosted.options)})
        model = detector.managed_model
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a plugin can raise anything
        return None
    return model


def _describe(model: ManagedModel | None) -> str:
    if model is None:
        return "its plugin is not installed, or refuses the options"
    try:
        return str(model.describe())
    except (DetectorError, ConfigurationError) as error:
        return f"cannot be asked: {error}"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin can raise anything
        return f"cannot be asked: {format_error(error)}"


def _tell(model: HostedModel, told: str, session: ModelSession | None) -> None:
    click.echo(f"{model.model}\n  detector {model.detector}; {told}")
    if session is not None:
        click.echo(
            f"  billed since {_moment(session.requested_at)} UTC: {_units(session.units)}, "
            f"${session.price_usd:,.2f} by now; started because {session.start_reason}"
        )
    click.echo(
        f"  controlled by {model.holder or 'no worker'}{'; serving' if model.serving else ''}"
    )
    if model.keep_until is not None and model.keep_until > time.time():
        click.echo(f"  to run until {_moment(model.keep_until)} UTC, work or not")
    if model.failures:
        click.echo(f"  starts that failed in a row: {model.failures}")
    if model.reason:
        click.echo(f"  {model.reason}")


def _line(session: ModelSession) -> str:
    project, version = session.model.split("/")[1:4:2]
    end = "until now" if session.stopped_at is None else session.stop_reason or "stopped"
    return _COLUMNS.format(
        _moment(session.requested_at),
        f"{session.unit_minutes:,.1f}",
        f"{session.price_usd:,.2f}",
        f"{project}/{version}",
        f"{session.start_reason} → {end}",
    )


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"


def _units(units: int) -> str:
    return "1 unit" if units == 1 else f"{units} units"
