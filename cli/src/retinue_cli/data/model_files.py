"""ONNX models of others: where they are, and how to download them safely."""

import fcntl
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from retinue_cli.data.file_hash import sha256_of

CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = 30.0
TRIES = 3
"""Times that an interrupted download is continued."""

MAX_BYTES = 2**31
"""No ONNX file is larger."""


class DownloadError(Exception):
    """The file can't be downloaded, or isn't the expected one."""


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A published model.

    Attributes:
        name: Its name for the command.
        url: The file.
        sha256: Its published hash; ``None`` if none was found.
        licence: Licence of the weights, as published.
        layout: The expected value of the option ``layout`` of ``onnx-objects``.
        about: The model's name and the author of the export.
    """

    name: str
    url: str
    sha256: str | None
    licence: str
    layout: str
    about: str


PUBLISHED = (
    PublishedModel(
        "deimv2-pico",
        "https://huggingface.co/tatsuyaaaaaaa/deimv2-onnx/resolve/c4084a394a2ffa5ff49897d726afc36ba74b3877/deimv2_hgnetv2_pico_coco.onnx",
        "507850498155f279ca7fa194cf0b95ebf1068ed9420b1bb6479acc4a66a37f8d",
        "Apache-2.0 (of Intellindust-AI-Lab/DEIMv2; the export names none)",
        "queries",
        "DEIMv2-Pico, COCO, 38.5 AP, 6 MB; exported by tatsuyaaaaaaa",
    ),
    PublishedModel(
        "d-fine-nano",
        "https://huggingface.co/AnnotateIt/dfine-nano-coco-onnx/resolve/main/model.onnx",
        "b0ec2e5793f3a3cbd07440d098645a0e102cd450fb92f4f35e713f36e35d152e",
        "Apache-2.0 (of ustc-community/dfine-nano-coco)",
        "rt-detr-logits",
        "D-FINE-N, COCO, 42.8 AP, 15 MB; exported by AnnotateIt",
    ),
    PublishedModel(
        "rf-detr-base",
        "https://huggingface.co/onnx-community/rfdetr_base-ONNX/resolve/bcd833d99f9419cb9d1585d5528d2a1b24dcbc80/onnx/model.onnx",
        "48b9502c04be895713efc0579c8904e69a97b3e03413a2f5aab1bdecda7e36ff",
        "Apache-2.0 (of roboflow/rf-detr)",
        "deformable-detr",
        "RF-DETR-Base, COCO, 108 MB; exported by onnx-community",
    ),
    PublishedModel(
        "rf-detr-nano",
        "https://huggingface.co/michele-xilo/rf-detr-rs/resolve/main/rf-detr-nano.onnx",
        None,
        "Apache-2.0 (of roboflow/rf-detr)",
        "rf-detr",
        "RF-DETR-Nano, COCO, 48.4 AP; exported by michele-xilo; no published hash was found",
    ),
)
"""Models with a permissive licence. We downloaded none of them: the hashes are those that the
files' pages on Hugging Face show.
"""


def download(url: str, destination: Path, *, sha256: str, advance: Callable[[int], None]) -> None:
    """Download a file, unless it is there, and check its hash.

    An interrupted download continues where it ended. If several commands download the file, one
    does, and the others wait. The file appears under its name only when it is whole and has the
    hash. Proxies are those of the environment (HTTPS_PROXY, NO_PROXY).

    Args:
        url: The file, by https or http.
        destination: The path to write.
        sha256: The expected hash, 64 hex digits.
        advance: Called with the number of bytes received.

    Raises:
        DownloadError: The file can't be downloaded or has another hash, or the path exists.
        OSError: The file can't be written.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"{url} must begin with https:// or http://")
    if _is_there(destination, sha256):
        return
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(f"{destination.name}.part")
    with part.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # wait for other commands that download it
        try:
            if _is_there(destination, sha256):
                return
            _download(url, part, advance)
        finally:
            if part.exists() and not part.stat().st_size:
                part.unlink()
        if (found := sha256_of(part)) != sha256:
            part.unlink()
            raise DownloadError(
                f"{url} has SHA-256 {found} instead of {sha256}: the file was changed or damaged, "
                "and was deleted again"
            )
        part.replace(destination)


def _is_there(destination: Path, sha256: str) -> bool:
    """Return whether the file is there already.

    Raises:
        DownloadError: Another file has its place.
    """
    if not destination.exists():
        return False
    if sha256_of(destination) == sha256:
        return True
    raise DownloadError(f"{destination} exists and is another file; move it, or use --output")


def _download(url: str, part: Path, advance: Callable[[int], None]) -> None:
    """Download a file, or its rest, in several tries."""
    for attempt in range(TRIES):
        try:
            _continue(url, part, advance)
        except urllib.error.HTTPError as error:
            error.close()
            raise DownloadError(f"{url} answers {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise  # of the file, not the network
            if attempt == TRIES - 1:
                reason = getattr(error, "reason", error)
                raise DownloadError(
                    f"{url}: {reason}; run the command again to continue"
                ) from error
        else:
            return


def _continue(url: str, part: Path, advance: Callable[[int], None]) -> None:
    """Download the rest of a file."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "retinue"})  # noqa: S310 - checked
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        # An opener of its own: urlopen keeps the proxies of its first call.
        answer = urllib.request.build_opener().open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:  # 416: nothing is left, or the file is shorter now
            raise
        error.close()
        expected = error.headers.get("Content-Range", "").rpartition("/")[2]
        if expected != str(have):
            part.unlink()
            _continue(url, part, advance)
        return
    with answer, part.open("ab") as file:
        if have and not _continues(answer, have):
            file.truncate(0)  # the server sends all of it
            have = 0
        length = answer.headers.get("Content-Length")
        received = 0
        while data := answer.read(CHUNK_BYTES):
            received += len(data)
            if have + received > MAX_BYTES:
                raise DownloadError(f"{url} has more than 2 GB, the limit of ONNX files")
            file.write(data)
            advance(len(data))
        if length is not None and received < int(length):
            raise ConnectionError(f"the connection ended after {have + received:,} bytes")


def _continues(answer: http.client.HTTPResponse, have: int) -> bool:
    """Return whether an answer begins where the partial file ends."""
    where = answer.headers.get("Content-Range", "")
    return answer.status == 206 and where.startswith(f"bytes {have}-")
