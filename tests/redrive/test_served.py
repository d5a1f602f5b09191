"""S3 is asked about images that the history believes to be deleted."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from retinue_cli.local import AwsEndpoint
from retinue_cli.replay.served import ServedImages
from retinue_history.upkeep.maintenance import DeletedImage
from retinue_sdk import ImageReference

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def put(s3: "S3Client", bucket: str, key: str, data: bytes = b"?") -> DeletedImage:
    answer = s3.put_object(Bucket=bucket, Key=key, Body=data)
    version_id = answer.get("VersionId")
    version = version_id or answer["ETag"].strip('"')
    reference = ImageReference(bucket, key, version_id, version)
    return DeletedImage(reference.image_id, bucket, key, version, version_id is not None)


def found(s3: "S3Client", images: Sequence[DeletedImage]) -> Mapping[UUID, datetime | None]:
    served = ServedImages(lambda: s3)
    answer = served.find(images)
    assert served.refusals == {}
    assert all(at is not None and at <= datetime.now(UTC) for at in answer.values())
    return answer


def ids(*images: DeletedImage) -> set[UUID]:
    return {image.image_id for image in images}


def test_of_an_unversioned_key_the_last_upload_is_served(s3: "S3Client", bucket: str) -> None:
    old, new = put(s3, bucket, "a+b c.jpg", b"old"), put(s3, bucket, "a+b c.jpg", b"new")
    gone = put(s3, bucket, "gone.jpg")
    s3.delete_object(Bucket=bucket, Key="gone.jpg")
    put(s3, bucket, "gone.jpg.bak")
    assert found(s3, [old, new, gone]).keys() == ids(new)


def test_versions_are_served_until_a_marker_hides_them(s3: "S3Client", bucket: str) -> None:
    null = put(s3, bucket, "cat.jpg", b"null")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first, second = put(s3, bucket, "cat.jpg", b"1"), put(s3, bucket, "cat.jpg", b"2")
    everything = [null, first, second]
    assert found(s3, everything).keys() == ids(*everything)
    s3.delete_object(Bucket=bucket, Key="cat.jpg", VersionId=first.version)
    assert found(s3, everything).keys() == ids(null, second)
    marker = s3.delete_object(Bucket=bucket, Key="cat.jpg")["VersionId"]
    assert found(s3, everything) == {}
    s3.delete_object(Bucket=bucket, Key="cat.jpg", VersionId=marker)
    assert found(s3, everything).keys() == ids(null, second)


def test_in_a_bucket_that_is_gone_nothing_is_served(s3: "S3Client", bucket: str) -> None:
    image = put(s3, bucket, "a.jpg")
    gone = image._replace(bucket=f"{bucket}-gone")
    assert found(s3, [image, gone]).keys() == ids(image)


def test_a_bucket_that_cannot_be_asked_about_is_told(
    aws: AwsEndpoint, s3: "S3Client", bucket: str
) -> None:
    image = put(s3, bucket, "a.jpg")
    deaf: Any = AwsEndpoint("http://127.0.0.1:9").client("s3")
    served = ServedImages(lambda: deaf)
    assert served.find([image]) == {image.image_id: None}
    assert "127.0.0.1:9" in served.refusals[bucket]


def test_nobody_is_asked_about_nothing() -> None:
    def refuse() -> "S3Client":
        pytest.fail("a client was made")

    assert ServedImages(refuse).refusals == {}
