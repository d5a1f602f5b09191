"""Photographs into the bucket."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retinue_cli.local.endpoint import AwsEndpoint
from retinue_cli.local.errors import LaptopError
from retinue_cli.local.photographs import CONTENT_TYPES, Photograph

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_THREADS = 4
_IN_MEMORY_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Upload:
    """What became of one photograph.

    Attributes:
        photograph: Which one.
        etag: The object's ETag without quotation marks: the MD5 of its bytes; empty on failure.
        size_bytes: How large it is.
        error: Why it is not in the bucket; none if it is.
    """

    photograph: Photograph
    etag: str = ""
    size_bytes: int = 0
    error: str | None = None


def upload(
    endpoint: AwsEndpoint,
    bucket: str,
    photographs: Sequence[Photograph],
    on_progress: Callable[[Upload], None] = lambda _: None,
) -> list[Upload]:
    """Upload photographs, a few at a time. One that fails is reported and stops no other.

    Args:
        endpoint: Where the bucket is.
        bucket: Its name.
        photographs: What to upload.
        on_progress: Called in this thread whenever one is done, well or badly.

    Returns:
        What became of each, in the order given.

    Raises:
        LaptopError: The endpoint has gone, or the bucket.
    """
    client = endpoint.client("s3")
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="upload") as pool:
        tasks: list[Future[Upload]] = [
            pool.submit(_upload_one, endpoint, client, bucket, photograph)
            for photograph in photographs
        ]
        try:
            for task in as_completed(tasks):
                on_progress(task.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [task.result() for task in tasks]


def _upload_one(
    endpoint: AwsEndpoint, client: "S3Client", bucket: str, photograph: Photograph
) -> Upload:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        with photograph.path.open("rb") as file:
            size_bytes = file.seek(0, 2)
            file.seek(0)
            # One PUT, whatever the size: the ETag of a multipart upload is no MD5. What fits is
            # read first, as a file that shrinks under a PUT leaves the other side waiting.
            small = size_bytes <= _IN_MEMORY_BYTES
            answer = client.put_object(
                Bucket=bucket,
                Key=photograph.key,
                Body=file.read() if small else file,
                ContentType=CONTENT_TYPES.get(
                    photograph.path.suffix.lower(), "application/octet-stream"
                ),
            )
    except OSError as error:  # it has vanished, or may not be read
        return Upload(photograph, error=error.strerror or str(error))
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchBucket", "AccessDenied"):
            raise LaptopError(f"cannot upload to the bucket {bucket!r}: {error}") from error
        return Upload(photograph, error=str(error))
    except BotoCoreError as error:
        endpoint.check()  # raises when nobody is there: then no other file would fare better
        return Upload(photograph, error=str(error))
    return Upload(photograph, answer["ETag"].strip('"'), size_bytes)
