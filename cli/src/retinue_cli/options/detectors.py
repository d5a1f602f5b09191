"""Options for detectors, with the syntax of RETINUE_DETECTORS."""

import functools
import json
from collections.abc import Callable
from typing import Any, TypeVar

import click
from retinue_workers.detectors.encoding import FindingsEncoder
from retinue_workers.settings.detectors import EXAMPLE, Detectors, parse_detectors
from retinue_workers.settings.settings import Settings

DEFAULT_DETECTORS = ("onnx-objects", "onnx-faces", "onnx-labels")
"""The default detectors, which run on this machine."""

Command = TypeVar("Command", bound=Callable[..., Any])


class DetectorsType(click.ParamType[Detectors]):
    """One detector or several, with options."""

    name = "detectors"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Detectors:
        """Parse them like RETINUE_DETECTORS."""
        try:
            return parse_detectors(value) if isinstance(value, str) else dict(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def detectors_option(command: Command) -> Command:
    """Add the option ``--detectors`` to a command, with the parameter ``detectors``."""
    return click.option(
        "--detectors",
        metavar="NAME,…",
        type=DetectorsType(),
        help=f"Detectors to apply, with options: {EXAMPLE}, or JSON.  "
        "[default: RETINUE_DETECTORS, or onnx-objects,onnx-faces,onnx-labels]",
    )(command)


def json_options(command: Command) -> Command:
    """Add ``--options`` to a command, with the parameter ``options``."""
    return click.option(
        "--options",
        metavar="JSON",
        default="{}",
        callback=_parse,
        help="The detector's options, such as '{\"threshold\": 0.3}'.",
    )(command)


def detector_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument DETECTOR (``NAME`` or ``NAME:option=value``) and ``--options`` to a command.

    The command's parameters are the name ``detector``, and ``options`` from both.
    """

    @click.argument("detector", type=DetectorsType())
    @json_options
    @functools.wraps(command)
    def with_one(*given: Any, detector: Detectors, options: dict[str, Any], **others: Any) -> Any:
        if len(detector) != 1:
            raise click.UsageError(f"name one detector, not {len(detector)}: {', '.join(detector)}")
        [(name, written)] = detector.items()
        return command(*given, detector=name, options={**written, **options}, **others)

    return with_one


ABOUT_DETECTORS = ("routes", "isolation", "video", "hosted_models", "monthly_budgets_usd")
"""Settings that name detectors, which must be in the setting ``detectors``."""


def findings_encoder() -> FindingsEncoder:
    """Return an encoder with a worker's limits."""
    settings = Settings.load(detectors={}, **{name: {} for name in ABOUT_DETECTORS})
    return FindingsEncoder(settings.max_detections, settings.max_response_bytes)


def wanted_detectors(chosen: Detectors | None) -> Detectors:
    """Return the chosen detectors with options, those of the settings, or the default."""
    configured = Settings.load(**{name: {} for name in ABOUT_DETECTORS}).detectors
    if chosen is None:
        return configured or {name: {} for name in DEFAULT_DETECTORS}
    return {name: {**configured.get(name, {}), **options} for name, options in chosen.items()}


def _parse(ctx: click.Context, param: click.Parameter, value: str) -> dict[str, Any]:
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(
            f'must be JSON such as {{"threshold": 0.3}}: {error}', ctx, param
        ) from error
    if not isinstance(parsed, dict):
        raise click.BadParameter(
            f'must be a JSON object such as {{"threshold": 0.3}}, not {value}', ctx, param
        )
    return parsed
