"""``retinue models``."""

import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import click
from retinue_history import (
    HistoryUnavailableError,
    KeptModel,
    ModelSession,
)
from retinue_sdk import ConfigurationError, DetectorError, ManagedModel, ModelState
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.hosted_models.reaper import reap
from retinue_workers.settings.settings import Settings

from retinue_cli.commands.models_promote import promote
from retinue_cli.commands.models_train import train
from retinue_cli.options.model_ledger import open_ledger

_COLUMNS = "{:16}  {:>8}  {:>10}  {:20}  {}"
"""Of `retinue models cost`."""


@click.group("models", short_help="Models that cost money while they run: status, start, stop, …")
def models() -> None:
    """Models that workers start and stop (RETINUE_HOSTED_MODELS), and what each session cost."""


models.add_command(train)
models.add_command(promote)


@models.command()
def status() -> None:
    """Show each model: what it is, who keeps it, what it has cost by now, why it does not serve."""
    settings = Settings.load()
    with open_ledger(settings) as ledger:
        kept = ledger.models()
        hosted = {one.model: one for one in ledger.sessions(only_open=True)}
        for one in kept:
            _tell(one, _describe(_make(settings, one)), hosted.get(one.model))
        known = {one.model for one in kept}
        others = [(name, model) for name, model in _configured(settings) if model.name not in known]
        for name, model in others:
            _tell(KeptModel(model.name, name, {}, None, 0), _describe(model), None)
    if not kept and not others:
        click.echo(
            "no model is known: name one in RETINUE_DETECTORS, or start a worker whose "
            "RETINUE_HOSTED_MODELS has it kept"
        )


@models.command()
@click.option("--minutes", type=click.IntRange(1, 10_080), default=60, show_default=True)
def start(minutes: int) -> None:
    """Have the configured models run, work or not, and forget that starts failed.

    A worker that keeps the model starts it at its next look. After the minutes it stops as always.
    """
    settings = Settings.load()
    with open_ledger(settings) as ledger:
        for name, model in _required(settings):
            if not ledger.keep(model.name, time.time() + minutes * 60):
                raise ConfigurationError(
                    f"no worker has kept {model.name} yet: start one with RETINUE_HOSTED_MODELS "
                    f"naming {name}, which starts the model when work waits"
                )
            click.echo(f"{model.name} is to run for {minutes} minutes")


@models.command()
def stop() -> None:
    """Stop the configured models now. A worker starts one again if work waits for it."""
    settings = Settings.load()
    with open_ledger(settings) as ledger:
        for _, model in _required(settings):
            ledger.keep(model.name, None)
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
    """Stop models that run while no worker keeps them. Run it on a schedule."""
    settings = Settings.load()
    plugins = Plugins(folder=settings.plugins_dir)
    with open_ledger(settings) as ledger:
        found = list(_configured(settings))
        try:
            for registration in plugins.registrations.values():
                found += [
                    (registration.detector.name, model)
                    for model in registration.detector.find_models(patterns)
                ]
        except DetectorError as error:
            raise HistoryUnavailableError(f"cannot look for hosted models: {error}") from error
        done = reap(
            ledger,
            make=lambda kept: _make(settings, kept),
            found=found,
            holder=f"reaper:{os.getpid()}",
            clock=time.time,
        )
    for one in done:
        click.echo(f"{one.action}: {one.model}: {one.reason}")
    # Alarms count these lines, and wait for the last one (infra/modules/model_reaper).
    click.echo(f"models looked at: {len(done)}")
    if any(one.action == "failed" for one in done):
        raise HistoryUnavailableError("a model could not be looked at; it may be running")


@models.command()
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
def cost(limit: int) -> None:
    """Show each time that a model was hosted, the latest first, with its price."""
    with open_ledger(Settings.load()) as ledger:
        sessions = ledger.sessions(limit=limit)
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


def _make(settings: Settings, kept: KeptModel) -> ManagedModel | None:
    """The model by its detector's options; ``None`` if the plugin is not here."""
    try:
        [detector] = Plugins(folder=settings.plugins_dir).make({kept.detector: dict(kept.options)})
    except ConfigurationError:
        return None
    return detector.managed_model


def _describe(model: ManagedModel | None) -> str:
    if model is None:
        return "its plugin is not installed, or refuses the options"
    try:
        return str(model.describe())
    except (DetectorError, ConfigurationError) as error:
        return f"cannot be asked: {error}"


def _tell(kept: KeptModel, told: str, hosted: ModelSession | None) -> None:
    click.echo(f"{kept.model}\n  detector {kept.detector}; {told}")
    if hosted is not None:
        click.echo(
            f"  billed since {_moment(hosted.requested_at)} UTC: {_units(hosted.units)}, "
            f"${hosted.price_usd:,.2f} by now; started because {hosted.start_reason}"
        )
    click.echo(f"  kept by {kept.holder or 'nobody'}{'; serving' if kept.serving else ''}")
    if kept.keep_until is not None and kept.keep_until > time.time():
        click.echo(f"  to run until {_moment(kept.keep_until)} UTC, work or not")
    if kept.failures:
        click.echo(f"  starts that failed in a row: {kept.failures}")
    if kept.reason:
        click.echo(f"  {kept.reason}")


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
