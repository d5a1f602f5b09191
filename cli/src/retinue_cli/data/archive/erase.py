"""Erase rows from an archive: rewrite the files that have them, and verify.

A file without the rows is stored first, then the manifest is replaced, and the old file is deleted
last. An interrupted erasure is continued by the same command.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retinue_history.privacy.erasure import PersonNames
from retinue_history.privacy.image_erasure import ImageSubject

from retinue_cli.data.archive.archive import Archive
from retinue_cli.data.archive.files import FileWriter, batches, local_batches, verified_copy
from retinue_cli.data.archive.manifest import ArchivedFile


@dataclass(frozen=True, slots=True)
class Doomed:
    """The rows to erase.

    Attributes:
        columns: The columns that tell.
        find: Returns a boolean array for a record batch that has these columns: true to erase.
    """

    columns: tuple[str, ...]
    find: Callable[[Any], Any]


def doomed_images(subject: ImageSubject, until: datetime | None = None) -> Doomed:
    """Return the detections of images.

    Args:
        subject: The images.
        until: Only uploads up to this time; all by default.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import compute as pc

    def find(batch: Any) -> Any:
        if subject.kind == "image":
            found = pc.equal(batch["image_id"], str(subject.image_id))
        elif subject.kind == "prefix":
            found = pc.starts_with(batch["key"], pattern=subject.key)
        else:
            found = pc.equal(batch["key"], subject.key)
        if subject.bucket is not None:
            found = pc.and_(found, pc.equal(batch["bucket"], subject.bucket))
        if until is not None:
            limit = pa.scalar(until, pa.timestamp("us", tz="UTC"))
            found = pc.and_(found, pc.less_equal(batch["uploaded_at"], limit))
        return found

    return Doomed(("image_id", "bucket", "key", "uploaded_at"), find)


def doomed_person(names: PersonNames) -> Doomed:
    """Return the detections that name a person, as ``faces_named`` of the history finds them."""
    import pyarrow as pa
    from pyarrow import compute as pc

    labels = pa.array(sorted(names.ids | names.labels), pa.string())

    def find(batch: Any) -> Any:
        named = pc.and_(
            pc.equal(batch["kind"], "face_match"), pc.is_in(batch["label"], value_set=labels)
        )
        faces = [
            text is not None and "Id" in text and not names.ids.isdisjoint(_ids(json.loads(text)))
            for text in batch["attributes"].to_pylist()
        ]
        return pc.or_(named, pa.array(faces, pa.bool_()))

    return Doomed(("kind", "label", "attributes"), find)


_IDS = ("FaceId", "SearchedFaceId", "ExternalImageId", "UserId")


def _ids(value: Any) -> Iterator[str]:
    """Yield every id of a face or person in an answer, at any depth."""
    if isinstance(value, list):
        for item in value:
            yield from _ids(item)
    if isinstance(value, dict):
        for key, item in value.items():
            if key in _IDS and isinstance(item, str):
                yield item
            yield from _ids(item)


def count_rows(
    archive: Archive, doomed: Doomed, advance: Callable[[int], None] = lambda _: None
) -> Counter[ArchivedFile]:
    """Return the number of rows to erase in each file that has some.

    Args:
        archive: The archive.
        doomed: The rows.
        advance: Called with the number of further rows that were read.

    Raises:
        ConfigurationError: A file is missing or damaged.
    """
    found: Counter[ArchivedFile] = Counter()
    for file in archive.files:
        for batch in batches(archive, file, list(doomed.columns)):
            number = doomed.find(batch).true_count
            advance(batch.num_rows)
            if number:
                found[file] += number
    return found


def erase_rows(archive: Archive, doomed: Doomed, found: Iterable[ArchivedFile]) -> Iterator[int]:
    """Erase rows, file by file. Nothing else may change the archive meanwhile.

    Args:
        archive: The archive.
        doomed: The rows.
        found: The files that have some, from ``count_rows``.

    Yields:
        The number of erased rows of each file, after it was replaced.

    Raises:
        ConfigurationError: A file is missing or damaged, or the archive can't be written. Files
            that were replaced stay so.
    """
    archive.check_files()
    archive.repair()
    for file in found:
        rows = 0
        with (
            verified_copy(archive, file) as copy,
            FileWriter(archive, file.detector, file.month, file.attempt) as writer,
        ):
            for batch in local_batches(copy):
                kept = batch.filter(_not(doomed.find(batch)))
                rows += kept.num_rows
                writer.write(kept)
        archive.publish(writer.files, [file])
        yield file.rows - rows


def _not(found: Any) -> Any:
    from pyarrow import compute as pc

    return pc.invert(pc.fill_null(found, False))
