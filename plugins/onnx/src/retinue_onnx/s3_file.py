"""Read a model from S3 by its hash, and keep it on this machine."""

import hashlib
import logging
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from retinue_sdk import ConfigurationError, DetectorNotReadyError, S3Uri

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

PATTERN = r"^s3://[^/#]+/[^#]+#sha256=[0-9a-f]{64}$"
"""A URI with the file's hash, as in a link of a Python package index."""

CHUNK_BYTES = 1 << 20

CONNECT_SECONDS = 5
READ_SECONDS = 60

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class S3File:
    """A file in S3 whose content is known by its hash.

    Attributes:
        place: Where it is.
        sha256: The hash of its bytes, 64 hex digits.
    """

    place: S3Uri
    sha256: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Return the file that a URI of ``PATTERN`` names."""
        place, _, sha256 = uri.partition("#sha256=")
        return cls(S3Uri.parse(place), sha256)

    @property
    def uri(self) -> str:
        """Return the URI without the hash."""
        return str(self.place)

    @property
    def name(self) -> str:
        """Return a short name: ``parts-3`` for ``parts/3/model.onnx``, else the file's name."""
        trained = re.search(r"([^/]+)/(\d+)/model\.onnx$", self.place.key)
        return f"{trained[1]}-{trained[2]}" if trained else Path(self.place.key).stem

    def read(self, max_bytes: int) -> bytes:
        """Return the bytes, from this machine's copy if it has one. They have the hash.

        Raises:
            ConfigurationError: The object doesn't exist, may not be read, is too large, or has
                another hash.
            DetectorNotReadyError: S3 can't be reached at the moment.
        """
        copy = _folder() / f"{self.sha256}.onnx"
        try:
            data = copy.read_bytes()
        except OSError:
            data = b""
        if hashlib.sha256(data).hexdigest() == self.sha256:
            return data
        data = self._download(max_bytes)
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            raise ConfigurationError(
                f"option model: {self.uri} has the SHA-256 {found}, not {self.sha256}, so it isn't "
                "loaded; give the hash of the file that you trust"
            )
        _keep(copy, data)
        return data

    def _download(self, max_bytes: int) -> bytes:
        try:
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
            from botocore.session import Session
        except ImportError as error:
            raise ConfigurationError(
                f"option model: {self.uri} needs botocore: pip install 'retinue-onnx[s3]'"
            ) from error
        config = Config(
            connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"mode": "standard"}
        )
        try:
            client: Any = Session().create_client(
                "s3", region_name=os.environ.get("AWS_REGION"), config=config
            )
            answer = client.get_object(Bucket=self.place.bucket, Key=self.place.key)
            with answer["Body"] as body:
                if answer["ContentLength"] > max_bytes:
                    raise ConfigurationError(
                        f"option model: {self.uri} has {answer['ContentLength'] / 1e9:.1f} GB, and "
                        "an ONNX file can have at most 2.1 GB"
                    )
                return bytes(body.read())
        except NoCredentialsError as error:
            raise DetectorNotReadyError(
                f"{self.uri} can't be read without AWS credentials: give the worker a task role, "
                "or set AWS_PROFILE"
            ) from error
        except ClientError as error:
            raise self._refused(error) from error
        except (BotoCoreError, OSError) as error:
            raise DetectorNotReadyError(f"{self.uri} can't be read now: {error}") from error

    def _refused(self, error: "ClientError") -> Exception:
        response: Any = error.response
        code = str(response.get("Error", {}).get("Code", ""))
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
        if code in {"NoSuchKey", "NoSuchBucket"}:
            return ConfigurationError(f"option model: {self.uri} doesn't exist ({code})")
        if status == 403:
            return ConfigurationError(
                f"option model: {self.uri} may not be read ({code}): the worker's role needs "
                "s3:GetObject on it, and kms:Decrypt if it is encrypted with a key"
            )
        return DetectorNotReadyError(f"{self.uri} can't be read now: S3 answered {code}")


def _folder() -> Path:
    """Return the folder of this user's copies."""
    if home := os.environ.get("XDG_CACHE_HOME"):
        folder = Path(home)
    else:
        try:
            folder = Path.home() / ".cache"
        except RuntimeError:  # a container's user without an entry in /etc/passwd
            folder = Path(tempfile.gettempdir())
    return folder / "retinue" / "models"


def _keep(copy: Path, data: bytes) -> None:
    """Write a copy, atomically. Without space or rights, the next start downloads it again."""
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=copy.parent) as folder:
            partial = Path(folder) / copy.name
            partial.write_bytes(data)
            partial.replace(copy)
    except OSError as error:
        logger.info("no copy of the model is kept: %s", error)
