"""Options that select a part of the history."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click
from retinue_history.analysis.selection import ImageName

from retinue_cli.options.timestamp import SINCE, UNTIL

F = TypeVar("F", bound=Callable[..., Any])


class ImageArgument(click.ParamType[ImageName]):
    """An image's id, URI or key."""

    name = "image"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> ImageName:
        """Parse an id, a URI or a key."""
        if isinstance(value, ImageName):
            return value
        try:
            return ImageName.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Prefix(click.ParamType[str]):
    """The prefix of a key."""

    name = "prefix"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Raise for an ``s3://`` URI without a bucket."""
        if re.match(r"s3://(/|$)", value):
            self.fail(f"{value!r} names no bucket: write s3://bucket/prefix", param, ctx)
        return str(value)


def _names(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Split names at commas."""
    del ctx, param
    return tuple(name.strip() for names in value for name in names.split(",") if name.strip())


_PREFIX = click.option(
    "--prefix", type=Prefix(), help="Only keys with this prefix, or s3://bucket/prefix."
)
_IMAGE = click.option(
    "--image",
    "images",
    type=ImageArgument(),
    multiple=True,
    help="Only this image: its id, s3://bucket/key, or key; repeatable.",
)
_ALL = (
    click.option(
        "--latest/--all",
        "latest",
        default=True,
        show_default=True,
        help="Latest detections of images that still exist, or all detections.",
    ),
    SINCE,
    UNTIL,
    click.option(
        "--detector",
        "detectors",
        metavar="NAME,…",
        multiple=True,
        callback=_names,
        help="Only these detectors; repeatable.",
    ),
    click.option("--label", "labels", multiple=True, help="Only this label; repeatable."),
    click.option(
        "--min-confidence", type=click.FloatRange(0, 1), help="Minimum confidence of detections."
    ),
    _PREFIX,
    _IMAGE,
)


def selection_options(command: F) -> F:
    """Add the options to a command, with the parameters ``**selected`` for ``Selection``."""
    for option in reversed(_ALL):
        command = option(command)
    return command


def image_options(command: F) -> F:
    """Add the options for images and times, as ``selection_options`` does."""
    return SINCE(UNTIL(_PREFIX(_IMAGE(command))))
