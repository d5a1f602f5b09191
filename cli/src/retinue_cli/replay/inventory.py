"""List a bucket from an S3 Inventory report, instead of listing a hundred million keys.

The report's form is that of "Amazon S3 Inventory" in the S3 User Guide: a ``manifest.json`` names
the files and their format.
"""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from botocore.exceptions import BotoCoreError, ClientError
from retinue_sdk import ConfigurationError

from retinue_cli.replay.inventory_files import InventoryRows, Row, reader
from retinue_cli.replay.listing import KeyFilter, Listed, Page

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PAGE_ROWS = 1_000
"""Rows of a page, as many as keys in a page of a listing."""

_SETTLED = timedelta(days=1)
"""A report may lack the changes of the last hours before its start."""

_POSITION = re.compile(r"(\d+):(\d+)")


@dataclass(frozen=True, slots=True)
class Inventory:
    """One report.

    Attributes:
        client: A boto3 S3 client.
        bucket: The bucket of the report.
        manifest_key: Key of its ``manifest.json``.
        prefix: The prefix of the listed keys.
        chosen: The filter of the objects.
    """

    client: "S3Client"
    bucket: str
    manifest_key: str
    prefix: str = ""
    chosen: KeyFilter = field(default_factory=KeyFilter)

    def pages(self, after: str | None = None) -> Iterator[Page]:
        """Yield pages of up to ``PAGE_ROWS`` rows.

        The position is the file's number and the row's.

        Raises:
            ConfigurationError: The report can't be read, or lacks a column.
        """
        position = _POSITION.fullmatch(after or "0:0")
        if position is None:
            raise ConfigurationError(f"{after!r} isn't a position in an inventory")
        first_file, first_row = int(position[1]), int(position[2])
        manifest = self._manifest()
        served_at = _served_at(manifest)
        rows_of = reader(manifest["fileFormat"], manifest["fileSchema"])
        for number, file in enumerate(manifest["files"][first_file:], first_file):
            row = first_row if number == first_file else 0
            left = islice(self._rows(file["key"], rows_of), row, None)
            while rows := list(islice(left, PAGE_ROWS)):
                row += len(rows)
                listed = [self._listed(one, served_at) for one in rows]
                yield self.chosen.page(f"{number}:{row}", [found for found in listed if found])

    def _manifest(self) -> Any:
        where = f"s3://{self.bucket}/{self.manifest_key}"
        try:
            manifest = json.loads(self._open(self.manifest_key).read())
            manifest["fileFormat"], manifest["fileSchema"], manifest["files"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{where} isn't a manifest of S3 Inventory: {error}"
            ) from error
        return manifest

    def _rows(self, key: str, rows_of: InventoryRows) -> Iterator[Row]:
        """Yield the rows of one file.

        The whole file is fetched, because Parquet and ORC begin at the end.
        """
        try:
            with TemporaryFile() as copy:
                for part in self._open(key).iter_chunks(2**20):
                    copy.write(part)
                copy.seek(0)
                yield from rows_of(cast("BinaryIO", copy))
        except (OSError, EOFError, ValueError, KeyError, csv.Error, BotoCoreError) as error:
            raise ConfigurationError(f"s3://{self.bucket}/{key} cannot be read: {error}") from error

    def _open(self, key: str) -> Any:
        try:
            return self.client.get_object(Bucket=self.bucket, Key=key)["Body"]
        except (BotoCoreError, ClientError) as error:
            raise ConfigurationError(f"cannot read s3://{self.bucket}/{key}: {error}") from error

    def _listed(self, row: Row, served_at: datetime | None) -> Listed | None:
        """Return the object of a row; ``None`` if it isn't the newest version or is excluded."""
        if not row["is_latest"] or row["is_delete_marker"]:
            return None
        if not row["key"].startswith(self.prefix):
            return None
        return Listed(
            row["bucket"],
            row["key"],
            row.get("version_id"),
            row["e_tag"],
            row["size"],
            row["last_modified_date"],
            row.get("storage_class"),
            served_at,
        )


def _served_at(manifest: Any) -> datetime | None:
    """Return until when the report is reliable; ``None`` if its start is unknown."""
    try:
        began = datetime.fromtimestamp(int(manifest["creationTimestamp"]) / 1_000, UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
    return began - _SETTLED
