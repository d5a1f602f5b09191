"""List a bucket directly, and from an inventory report."""

import csv
import gzip
import io
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc
from retinue_cli.replay.inventory import Inventory
from retinue_cli.replay.listing import Bucket, KeyFilter, Listed, Page, Source, answered_at
from retinue_sdk import ConfigurationError, ImageReference

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

KEYS = ["a b.jpg", "a+b.png", "deep/er/ü 日.JPEG", "notes.txt", "z%2B.webp"]


def references(source: Source, after: str | None = None) -> list[ImageReference]:
    return [request.reference for page in source.pages(after) for request in page.requests]


def put(s3: "S3Client", bucket: str, key: str, data: bytes = b"?") -> ImageReference:
    answer = s3.put_object(Bucket=bucket, Key=key, Body=data)
    return ImageReference(bucket, key, answer.get("VersionId"), answer["ETag"].strip('"'))


def test_an_unversioned_bucket_is_listed(s3: "S3Client", bucket: str) -> None:
    images = {key: put(s3, bucket, key) for key in KEYS}
    del images["notes.txt"]
    put(s3, bucket, "folder/", b"")
    (page,) = Bucket(s3, bucket).pages()
    assert [request.reference for request in page.requests] == list(images.values())
    assert all(request.size_bytes == 1 for request in page.requests)
    assert page.left_out == {"without an image's extension": 1, "that mark folders": 1}
    assert len(references(Bucket(s3, bucket, "", KeyFilter(all_files=True)))) == 5
    assert references(Bucket(s3, bucket, "deep/")) == [images["deep/er/ü 日.JPEG"]]


def test_of_a_versioned_bucket_the_newest_versions_count(s3: "S3Client", bucket: str) -> None:
    before = put(s3, bucket, "before.jpg")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    put(s3, bucket, "cat.jpg", b"old")
    cat = put(s3, bucket, "cat.jpg", b"new")
    put(s3, bucket, "gone.jpg")
    s3.delete_object(Bucket=bucket, Key="gone.jpg")
    found = references(Bucket(s3, bucket))
    # What was there before versioning has the version id "null": its ETag is its version.
    assert {reference.image_id for reference in found} == {before.image_id, cat.image_id}


def test_a_listing_says_when_s3_served_what_it_shows(s3: "S3Client", bucket: str) -> None:
    put(s3, bucket, "cat.jpg")
    for versioning in (False, True):
        if versioning:
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        before = datetime.now(UTC)
        ((request,),) = [page.requests for page in Bucket(s3, bucket).pages()]
        assert request.served_at is not None
        assert before <= request.served_at <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        ("12:00:30.250", "12:00:30.250"),
        ("12:00:31.250", "12:00:31.000"),  # our clock is fast
        ("12:30:00.000", "12:00:31.000"),
        ("11:59:59.000", "12:00:30.000"),  # our clock is slow
    ],
)
def test_s3s_clock_bounds_ours(ours: str, expected: str) -> None:
    answer = {"ResponseMetadata": {"HTTPHeaders": {"date": "Thu, 01 Jan 2026 12:00:30 GMT"}}}
    at = answered_at(answer, datetime.fromisoformat(f"2026-01-01T{ours}Z"))
    assert at == datetime.fromisoformat(f"2026-01-01T{expected}Z")
    ours_alone = datetime.fromisoformat(f"2026-01-01T{ours}Z")
    assert answered_at({}, ours_alone) == ours_alone


def test_an_inventory_is_right_about_the_day_before_it_was_begun(
    s3: "S3Client", bucket: str
) -> None:
    began = datetime(2026, 1, 3, tzinfo=UTC)
    told = str(int(began.timestamp() * 1_000))
    manifest = report(s3, bucket, [row("a.jpg")], creationTimestamp=told)
    ((request,),) = [page.requests for page in Inventory(s3, bucket, manifest).pages()]
    assert request.served_at == began - timedelta(days=1)
    manifest = report(s3, bucket, [row("a.jpg")])
    ((request,),) = [page.requests for page in Inventory(s3, bucket, manifest).pages()]
    assert request.served_at is None


def test_it_goes_on_after_a_page(s3: "S3Client", bucket: str) -> None:
    def ask_for_ten(params: dict[str, Any], **_: Any) -> dict[str, Any]:
        return params | {"MaxKeys": 10}  # instead of storing more than a page's 1,000 objects

    s3.meta.events.register("provide-client-params.s3.ListObjectsV2", ask_for_ten)
    for number in range(15):
        s3.put_object(Bucket=bucket, Key=f"{number:05}.jpg", Body=b"")
    pages = list(Bucket(s3, bucket).pages())
    assert [len(page.requests) for page in pages] == [10, 5]
    assert len(references(Bucket(s3, bucket), pages[0].position)) == 5
    assert references(Bucket(s3, bucket), pages[1].position) == []


def test_a_bucket_that_is_not_there_is_told(s3: "S3Client") -> None:
    with pytest.raises(ConfigurationError, match=r"cannot list s3://nobody/x: .*NoSuchBucket"):
        list(Bucket(s3, "nobody", "x").pages())


def test_archived_objects_are_left_out_with_the_reason() -> None:
    listed = Listed("b", "a.jpg", None, '"e"', 1, datetime(2026, 1, 1, tzinfo=UTC), "GLACIER")
    page: Page = KeyFilter().page("p", [listed])
    assert page.requests == []
    assert page.left_out == {"archived: restore them first": 1}


SCHEMA = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag"


def report(s3: "S3Client", bucket: str, *files: list[list[str]], **changes: Any) -> str:
    """Puts an inventory report into the bucket."""
    names = []
    for number, rows in enumerate(files):
        text = io.StringIO()
        csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
        names.append(f"inventory/{number}.csv.gz")
        s3.put_object(Bucket=bucket, Key=names[-1], Body=gzip.compress(text.getvalue().encode()))
    manifest = {
        "sourceBucket": "photos",
        "fileFormat": "CSV",
        "fileSchema": SCHEMA,
        "files": [{"key": name, "size": 1} for name in names],
        **changes,
    }
    s3.put_object(Bucket=bucket, Key="manifest.json", Body=json.dumps(manifest).encode())
    return "manifest.json"


def row(key: str, version: str = "v1", latest: str = "true", marker: str = "false") -> list[str]:
    time = "2026-01-02T03:04:05.000Z"
    return ["photos", quote_plus(key), version, latest, marker, "7", time, "e1"]


def test_an_inventory_is_read(s3: "S3Client", bucket: str) -> None:
    rows = [row(key) for key in KEYS]
    rows += [row("old.jpg", latest="false"), row("gone.jpg", marker="true")]
    manifest = report(s3, bucket, rows[:3], rows[3:])
    found = references(Inventory(s3, bucket, manifest))
    wanted = [key for key in KEYS if key != "notes.txt"]
    assert found == [ImageReference("photos", key, "v1", "e1") for key in wanted]


@pytest.mark.parametrize("form", ["Parquet", "ORC"])
def test_an_inventory_in_columns_is_read(
    s3: "S3Client", bucket: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the S3 User Guide describes it: names in snake case, keys as they are."""
    monkeypatch.setattr("retinue_cli.replay.inventory.PAGE_ROWS", 2)
    keys = [*KEYS, "old.jpg", "gone.jpg"]
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    columns: dict[str, list[Any]] = {
        "bucket": ["photos"] * len(keys),
        "key": keys,
        "version_id": ["v1"] * len(keys),
        "is_latest": [key != "old.jpg" for key in keys],
        "is_delete_marker": [key == "gone.jpg" for key in keys],
        "size": [7] * (len(keys) - 1) + [None],
        "last_modified_date": [when] * len(keys),
        "e_tag": ["e1"] * len(keys),
        "replication_status": [None] * len(keys),
    }
    data = pa.BufferOutputStream()
    if form == "Parquet":
        types = {"last_modified_date": pa.timestamp("ms", "UTC"), "size": pa.int64()}
        pq.write_table(pa.table({n: pa.array(v, types.get(n)) for n, v in columns.items()}), data)
    else:
        table = pa.table({n: v for n, v in columns.items() if n != "replication_status"})
        orc.write_table(table, data)
    s3.put_object(Bucket=bucket, Key="it", Body=data.getvalue().to_pybytes())
    manifest = report(s3, bucket, fileFormat=form, fileSchema="…", files=[{"key": "it"}])
    source = Inventory(s3, bucket, manifest)
    wanted = [key for key in KEYS if key != "notes.txt"]
    pages = list(source.pages())
    requests = [request for page in pages for request in page.requests]
    assert [request.reference for request in requests] == [
        ImageReference("photos", key, "v1", "e1") for key in wanted
    ]
    assert {(request.created_at, request.size_bytes) for request in requests} == {(when, 7)}
    assert len(references(source, pages[0].position)) == len(wanted) - 2


def test_an_inventory_in_columns_without_what_is_needed_is_told(
    s3: "S3Client", bucket: str
) -> None:
    data = pa.BufferOutputStream()
    pq.write_table(pa.table({"bucket": ["photos"], "key": ["a.jpg"], "size": [1]}), data)
    s3.put_object(Bucket=bucket, Key="it", Body=data.getvalue().to_pybytes())
    manifest = report(s3, bucket, fileFormat="Parquet", fileSchema="…", files=[{"key": "it"}])
    with pytest.raises(ConfigurationError, match="lacks LastModifiedDate, ETag"):
        list(Inventory(s3, bucket, manifest).pages())


def test_an_inventory_goes_on_after_a_page(
    s3: "S3Client", bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retinue_cli.replay.inventory.PAGE_ROWS", 2)
    manifest = report(s3, bucket, [row(f"{n}.jpg") for n in range(5)], [row("5.jpg")])
    source = Inventory(s3, bucket, manifest)
    pages = list(source.pages())
    assert [len(page.requests) for page in pages] == [2, 2, 1, 1]
    for number, page in enumerate(pages):
        rest = sum(len(later.requests) for later in pages[number + 1 :])
        assert len(references(source, page.position)) == rest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fileFormat": "ORC"}, "cannot be read"),
        ({"fileFormat": "XML"}, "can be CSV, ORC, Parquet"),
        ({"fileSchema": "Bucket, Key"}, "lacks Size, LastModifiedDate, ETag"),
        ({"files": [{"key": "inventory/none"}]}, "cannot read"),
    ],
)
def test_an_inventory_that_cannot_be_read_is_told(
    s3: "S3Client", bucket: str, changes: dict[str, Any], message: str
) -> None:
    manifest = report(s3, bucket, [row("a.jpg")], **changes)
    with pytest.raises(ConfigurationError, match=message):
        list(Inventory(s3, bucket, manifest).pages())


def test_what_is_no_manifest_is_told(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a.jpg", Body=b"?")
    with pytest.raises(ConfigurationError, match="isn't a manifest of S3 Inventory"):
        list(Inventory(s3, bucket, "a.jpg").pages())
