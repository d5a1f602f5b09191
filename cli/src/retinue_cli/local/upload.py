"""Upload photographs to the bucket."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retinue_cli.local.endpoint import AwsEndpoint
from retinue_cli.local.errors import LaptopError
from retinue_cli.local.photographs import Photograph
from retinue_cli.output.picture_names import CONTENT_TYPES, VIDEO_TYPES

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_THREADS = 4
_IN_MEMORY_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Upload:
    """The result of one upload.

    Attributes:
        photograph: The photograph.
        etag: The object's ETag without quotation marks: the MD5 of its bytes; empty on failure.
        size_bytes: Its size.
        error: The error; ``None`` if it is in the bucket.
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
    """Upload photographs concurrently. A failure is reported and doesn't stop the others.

    Args:
        endpoint: The endpoint of the bucket.
        bucket: Its name.
        photographs: The photographs.
        on_progress: Called in this thread after each upload, successful or not.

    Returns:
        The results, in the order of the photographs.

    Raises:
        LaptopError: The endpoint or the bucket no longer exists.
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
            # One PUT for any size, because the ETag of a multipart upload isn't an MD5. Small files
            # are read first, because a file that shrinks during a PUT blocks the other side.
            small = size_bytes <= _IN_MEMORY_BYTES
            answer = client.put_object(
                Bucket=bucket,
                Key=photograph.key,
                Body=file.read() if small else file,
                ContentType=(CONTENT_TYPES | VIDEO_TYPES).get(
                    photograph.path.suffix.lower(), "application/octet-stream"
                ),
            )
    except OSError as error:  # it was removed, or can't be read
        return Upload(photograph, error=error.strerror or str(error))
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchBucket", "AccessDenied"):
            raise LaptopError(f"cannot upload to the bucket {bucket!r}: {error}") from error
        return Upload(photograph, error=str(error))
    except BotoCoreError as error:
        endpoint.check()  # raises without an answer: then other files would fail, too
        return Upload(photograph, error=str(error))
    return Upload(photograph, answer["ETag"].strip('"'), size_bytes)
