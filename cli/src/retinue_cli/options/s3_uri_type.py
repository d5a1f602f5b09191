"""A command's argument or option with an ``s3://`` URI."""

from typing import Any

import click
from retinue_sdk import S3Uri


class S3UriType(click.ParamType[S3Uri]):
    """``s3://bucket/prefix``."""

    name = "S3_URI"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> S3Uri:
        """Parse the URI."""
        if isinstance(value, S3Uri):
            return value
        try:
            return S3Uri.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
