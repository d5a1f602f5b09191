"""What a bucket holds, as an S3 Inventory report says: no listing of a hundred million keys.

The report's form is that of "Amazon S3 Inventory" in the S3 User Guide: a ``manifest.json`` names
gzipped CSV files without headers, their columns in ``fileSchema``, keys form-encoded.
"""

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote_plus

from botocore.exceptions import BotoCoreError, ClientError
from retinue_sdk import ConfigurationError

from retinue_workers.redrive.listing import Filter, Listed, Page

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PAGE_ROWS = 1_000
"""Rows of a page, as many as keys in a page of a listing."""

NEEDED = ("Bucket", "Key", "Size", "LastModifiedDate", "ETag")
"""Columns without which no image can be identified."""

_POSITION = re.compile(r"(\d+):(\d+)")


@dataclass(frozen=True, slots=True)
class Inventory:
    """One report.

    Attributes:
        client: A boto3 S3 client.
        bucket: The bucket in which the report lies.
        manifest_key: Key of its ``manifest.json``.
        prefix: What the listed keys begin with.
        chosen: Which objects count.
    """

    client: "S3Client"
    bucket: str
    manifest_key: str
    prefix: str = ""
    chosen: Filter = field(default_factory=Filter)

    def pages(self, after: str | None = None) -> Iterator[Page]:
        """Up to ``PAGE_ROWS`` rows a page; the position is the file's number and the row's.

        Raises:
            ConfigurationError: The report cannot be read, or lacks a column.
        """
        position = _POSITION.fullmatch(after or "0:0")
        if position is None:
            raise ConfigurationError(f"{after!r} is no position in an inventory")
        first_file, first_row = int(position[1]), int(position[2])
        manifest = self._manifest()
        columns = [name.strip() for name in manifest["fileSchema"].split(",")]
        if missing := [name for name in NEEDED if name not in columns]:
            raise ConfigurationError(
                f"the inventory lacks {', '.join(missing)}: configure it with these fields"
            )
        for number, file in enumerate(manifest["files"][first_file:], first_file):
            row = first_row if number == first_file else 0
            lines = islice(self._lines(file["key"]), row, None)
            while rows := list(islice(lines, PAGE_ROWS)):
                row += len(rows)
                listed = [self._listed(dict(zip(columns, line, strict=False))) for line in rows]
                yield self.chosen.page(f"{number}:{row}", [found for found in listed if found])

    def _manifest(self) -> Any:
        where = f"s3://{self.bucket}/{self.manifest_key}"
        try:
            manifest = json.loads(self._open(self.manifest_key).read())
            form = manifest["fileFormat"]
            manifest["fileSchema"], manifest["files"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{where} is no manifest of S3 Inventory: {error}") from error
        if form != "CSV":
            raise ConfigurationError(
                f"{where} lists {form} files: configure the inventory with the output format CSV"
            )
        return manifest

    def _lines(self, key: str) -> Iterator[list[str]]:
        try:
            with gzip.open(cast("Any", self._open(key)), "rb") as unpacked:
                yield from csv.reader(io.TextIOWrapper(unpacked, "utf-8", newline=""))
        except (OSError, EOFError, ValueError, csv.Error, BotoCoreError) as error:
            raise ConfigurationError(f"s3://{self.bucket}/{key} cannot be read: {error}") from error

    def _open(self, key: str) -> Any:
        try:
            return self.client.get_object(Bucket=self.bucket, Key=key)["Body"]
        except (BotoCoreError, ClientError) as error:
            raise ConfigurationError(f"cannot read s3://{self.bucket}/{key}: {error}") from error

    def _listed(self, row: dict[str, str]) -> Listed | None:
        """The object in a row; ``None`` if it is not the newest version or not asked for."""
        key = unquote_plus(row["Key"])
        old = row.get("IsLatest", "true") == "false" or row.get("IsDeleteMarker") == "true"
        if old or not key.startswith(self.prefix):
            return None
        try:
            return Listed(
                row["Bucket"],
                key,
                row.get("VersionId"),
                row["ETag"],
                int(row["Size"] or 0),
                datetime.fromisoformat(row["LastModifiedDate"]),
                row.get("StorageClass"),
            )
        except (KeyError, ValueError) as error:
            raise ConfigurationError(f"a row of the inventory cannot be read: {error}") from error
