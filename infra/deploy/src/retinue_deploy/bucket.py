"""Empty a bucket, including all versions."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from retinue_deploy.errors import DeployError


def purge(s3: Any, bucket: str, on_progress: Callable[[int], None] = lambda _: None) -> int:
    """Delete all objects, all their versions and delete markers, and unfinished uploads.

    Terraform's own ``force_destroy`` does this more slowly, one page after the other.

    Args:
        s3: A client.
        bucket: Its name. A missing bucket counts as empty.
        on_progress: Called with the number of deleted versions.

    Returns:
        The number of versions.

    Raises:
        DeployError: S3 refuses to delete some versions.
    """
    gone = 0
    try:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            versions = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            if not versions:
                continue
            names = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in versions]
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": names, "Quiet": True})
            if errors := answer.get("Errors"):
                raise DeployError(
                    f"S3 refuses to delete {len(errors)} objects of {bucket}, such as "
                    f"{errors[0]['Key']}: {errors[0]['Message']}"
                )
            gone += len(names)
            on_progress(gone)
        for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
            for upload in page.get("Uploads", ()):
                s3.abort_multipart_upload(
                    Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
    return gone
