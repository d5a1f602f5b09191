"""``retinue models``."""

import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

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

from retinue_cli.commands.models_compare import compare
from retinue_cli.commands.models_get import get
from retinue_cli.commands.models_promote import promote
from retinue_cli.commands.models_show import show
from retinue_cli.commands.models_train import train
from retinue_cli.commands.models_verify import verify
from retinue_cli.options.json_flag import json_flag, say_beside
from retinue_cli.options.model_sessions import open_model_sessions
from retinue_cli.output.table import print_json, print_table
from retinue_cli.output.words import count


@click.group("models", short_help="Get and check ONNX models; manage hosted models.")
def models() -> None:
    """Get and check ONNX models, and manage hosted models (RETINUE_HOSTED_MODELS)."""


models.add_command(compare)
models.add_command(get)
models.add_command(verify)
models.add_command(train)
models.add_command(promote)
models.add_command(show)


@models.command()
@json_flag
def status(*, as_json: bool) -> None:
    """Show the state, controller and cost of each model."""
    settings = Settings.load()
    with open_model_sessions(settings) as sessions:
        models = sessions.list_models()
        open_sessions = {one.model: one for one in sessions.list_sessions(only_open=True)}
        known = {one.model for one in models}
        states = [(one, _describe(_make(settings, one))) for one in models] + [
            (HostedModel(model.name, name, {}, None, 0), _describe(model))
            for name, model in _configured(settings)
            if model.name not in known
        ]
    if as_json:
        print_json([_as_json(one, told, open_sessions.get(one.model)) for one, told in states])
        return
    for one, told in states:
        _tell(one, told, open_sessions.get(one.model))
    if not states:
        click.echo(
            "no model is known: name one in RETINUE_DETECTORS, or start a worker whose "
            "RETINUE_HOSTED_MODELS names it"
        )


@models.command()
@click.option(
    "--minutes",
    type=click.IntRange(1, 10_080),
    default=60,
    show_default=True,
    help="How long to run the model.",
)
@json_flag
def start(*, minutes: int, as_json: bool) -> None:
    """Run the configured models, with or without work.

    Resets the count of failed starts. The worker that controls the model starts it within seconds,
    and stops it as usual.
    """
    settings = Settings.load()
    until = time.time() + minutes * 60
    started = []
    with open_model_sessions(settings) as sessions:
        for name, model in _required(settings):
            if not sessions.keep_running(model.name, until):
                raise ConfigurationError(
                    f"no worker has controlled {model.name} yet: start one with {name} in "
                    "RETINUE_HOSTED_MODELS. It starts the model when messages wait"
                )
            started.append({"model": model.name, "keep_until": _utc(until)})
            if not as_json:
                click.echo(f"{model.name} will run for {minutes} minutes")
    if as_json:
        print_json(started)


@models.command()
@json_flag
def stop(*, as_json: bool) -> None:
    """Stop the configured models now. A worker starts a model again if messages wait."""
    settings = Settings.load()
    say = say_beside(as_json=as_json)
    found = []
    with open_model_sessions(settings) as sessions:
        for _, model in _required(settings):
            sessions.keep_running(model.name, None)
            try:
                told = model.describe()
                found.append(
                    {
                        "model": model.name,
                        "state": str(told),
                        "stopping": told.state is ModelState.RUNNING,
                    }
                )
                if told.state is ModelState.RUNNING:
                    model.stop()
                    say(f"{model.name} is stopping")
                elif told.state is ModelState.STARTING:
                    say(
                        f"{model.name} cannot be stopped while it is starting: try again when it "
                        "runs. It is billed meanwhile"
                    )
                else:
                    say(f"{model.name} does not run: {told}")
            except DetectorError as error:
                raise HistoryUnavailableError(str(error)) from error
    if as_json:
        print_json(found)


@models.command("reap")
@click.option(
    "--models",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="Include hosted models of the account whose ARN, or whose project's ARN, matches; "
    "repeatable: 'arn:aws:rekognition:*:*:project/birds/*'.",
)
@json_flag
def reap_command(*, patterns: Sequence[str], as_json: bool) -> None:
    """Stop models that run without a controlling worker. Run it on a schedule."""
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
    say = say_beside(as_json=as_json)
    for one in done:
        say(f"{one.action}: {one.model}: {one.reason}")
    if as_json:
        print_json(
            [{"model": one.model, "action": one.action, "reason": one.reason} for one in done]
        )
    if unasked:
        raise HistoryUnavailableError(f"cannot list hosted models: {'; '.join(unasked)}")
    # Alarms count these lines, and expect the last one (infra/modules/model_reaper).
    say(f"models looked at: {len(done)}")
    if any(one.action == "failed" for one in done):
        raise HistoryUnavailableError("the state of a model is unknown; it may be running")


@models.command()
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=50,
    show_default=True,
    help="Maximum number of sessions.",
)
@json_flag
def cost(*, limit: int, as_json: bool) -> None:
    """List sessions of models with their prices."""
    with open_model_sessions(Settings.load()) as opened:
        sessions = opened.list_sessions(limit=limit)
    if as_json:
        print_json([_session(session) for session in sessions])
        return
    if sessions:
        print_table(
            ("started, UTC", "unit min", "US dollars", "model", "why"), list(map(_row, sessions))
        )
    total = sum((session.price_usd for session in sessions), Decimal(0))
    click.echo(f"{count(len(sessions), 'session')}, ${total:,.2f}")


def _configured(settings: Settings) -> Iterator[tuple[str, ManagedModel]]:
    """Yield the models of the detectors in the settings."""
    if settings.detectors:
        for detector in Plugins(folder=settings.plugins_dir).make(settings.detectors):
            model = detector.managed_model
            if model is not None:
                yield detector.name, model


def _required(settings: Settings) -> list[tuple[str, ManagedModel]]:
    found = list(_configured(settings))
    if not found:
        raise ConfigurationError("RETINUE_DETECTORS names no detector with a hosted model")
    return found


def _make(settings: Settings, hosted: HostedModel) -> ManagedModel | None:
    """Return the model for its detector's options; ``None`` without a working plugin."""
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
            f"  billed since {_moment(session.requested_at)} UTC: {count(session.units, 'unit')}, "
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


def _row(session: ModelSession) -> tuple[str, Decimal, Decimal, str, str]:
    project, version = session.model.split("/")[1:4:2]
    end = "until now" if session.stopped_at is None else session.stop_reason or "stopped"
    cents = Decimal("0.01")
    return (
        _moment(session.requested_at),
        round(session.unit_minutes, 1),
        session.price_usd.quantize(cents),
        f"{project}/{version}",
        f"{session.start_reason} → {end}",
    )


def _session(session: ModelSession) -> dict[str, Any]:
    times = ("requested_at", "stopped_at")
    described = {name: _utc(getattr(session, name)) for name in times}
    return {
        "model": session.model,
        **described,
        "units": session.units,
        "unit_minutes": session.unit_minutes,
        "price_usd": session.price_usd,
        "start_reason": session.start_reason,
        "stop_reason": session.stop_reason,
    }


def _as_json(model: HostedModel, told: str, session: ModelSession | None) -> dict[str, Any]:
    return {
        "model": model.model,
        "detector": model.detector,
        "state": told,
        "controller": model.holder,
        "serving": model.serving,
        "keep_until": _utc(model.keep_until),
        "failures": model.failures,
        "reason": model.reason,
        "session": None if session is None else _session(session),
    }


def _utc(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
