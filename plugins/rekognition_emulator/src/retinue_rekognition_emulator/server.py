"""Serve AWS JSON 1.1 over HTTP, and the part of S3 that the plugin queries after errors."""

import hashlib
import json
import logging
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from retinue_rekognition_emulator.faults import AwsError, Failure, Faults, ObjectFault
from retinue_rekognition_emulator.images import Source, StoredObject
from retinue_rekognition_emulator.model import decoded, operation_model, violations
from retinue_rekognition_emulator.operations import Operations
from retinue_rekognition_emulator.video.notifications import Publish
from retinue_rekognition_emulator.video.objects import VideoSource, videos_of

TARGET_PREFIX = "RekognitionService."
CONTENT_TYPE = "application/x-amz-json-1.1"
MARK = "invented by Retinue's emulator, not by Amazon Rekognition"
MARK_VERSION = "emulator"
"""A model version that distinguishes invented runs in the history from Amazon's."""

ObjectT = TypeVar("ObjectT")

_KEY_ID = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/rekognition/aws4_request")

log = logging.getLogger(__name__)


class Endpoint:
    """Rekognition on 127.0.0.1. Serves between ``start`` and ``stop``, or as a context manager.

    Args:
        port: The port; 0 for a free one.
        source: The source of objects in S3. Without one, every object exists.
        marked: Whether every answer is marked as invented. Tests of Amazon's answers disable it.
        videos: A source that reads videos by ranges. Without one, ``source`` reads them as a whole.
        publish: Publishes completion messages of jobs on videos. Without it, only the jobs'
            ``published`` has them.

    Attributes:
        faults: Quotas, latency and failures.
        operations: The operations and collections.
        calls: Number of successful requests by operation.
        errors: Number of failed requests by error code.
        broken: Its own answers that violate the service model. It should be empty.
        requests: The last requests, as (operation, parameters).
    """

    def __init__(
        self,
        port: int = 0,
        source: Source | None = None,
        *,
        marked: bool = False,
        videos: VideoSource | None = None,
        publish: Publish | None = None,
    ) -> None:
        self.faults = Faults()
        readable = None if source is None else self._readable(source)
        if videos is None and source is not None:
            videos = videos_of(source)
        by_ranges = None if videos is None else self._readable(videos)
        self.operations = Operations(readable, by_ranges, self.faults, publish)
        self._source = source
        self.calls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.broken: list[str] = []
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._marked = marked
        self._counting = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.endpoint = self
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Return the endpoint's URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Start serving on a separate thread."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()
        self.operations.video.jobs.run()

    def stop(self) -> None:
        """Stop serving, and free the port."""
        self.operations.video.jobs.stop()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def answer(self, target: str, authorization: str, body: bytes) -> dict[str, Any]:
        """Answer one request.

        Raises:
            AwsError: The answer is an error.
        """
        name = target.removeprefix(TARGET_PREFIX)
        model = operation_model(name) if target.startswith(TARGET_PREFIX) else None
        operation = self.operations.known.get(name)
        if model is None or model.input_shape is None or operation is None:
            raise AwsError("UnknownOperationException", f"no operation {target!r}")
        self._check_credentials(authorization)
        try:
            request = decoded(model.input_shape, json.loads(body or b"{}"))
        except ValueError as error:
            raise AwsError("SerializationException", str(error)) from error
        wrong = list(violations(model.input_shape, request))
        if wrong:
            raise AwsError(
                "ValidationException",
                f"{len(wrong)} validation error detected: {'; '.join(wrong)}",
            )
        self.faults.check_quota(name)
        if self.faults.latency_ms:
            time.sleep(self.faults.latency_ms / 1_000)
        result = operation(request)
        self._check_own_answer(name, model.output_shape, result)
        with self._counting:
            self.calls[name] += 1
            self.requests = [*self.requests[-999:], (name, request)]
        return marked(result) if self._marked else result

    def _readable(
        self, source: Callable[[str, str, str | None], ObjectT | None]
    ) -> Callable[[str, str, str | None], ObjectT | None]:
        """Return a source without the objects that S3 refuses."""

        def read(bucket: str, key: str, version: str | None) -> ObjectT | None:
            return None if key in self.faults.objects else source(bucket, key, version)

        return read

    def object(self, path: str) -> tuple[StoredObject | None, ObjectFault | None]:
        """Return an object by its path in S3, and the reason why it can't be read."""
        parts = urlsplit(path)
        bucket, _, key = unquote(parts.path).removeprefix("/").partition("/")
        version = parse_qs(parts.query).get("versionId", [None])[0]
        stored = self._source(bucket, key, version) if self._source is not None else None
        return stored, self.faults.objects.get(key)

    def count_error(self, code: str) -> None:
        """Count a failed request."""
        with self._counting:
            self.errors[code] += 1

    def _check_credentials(self, authorization: str) -> None:
        signed = _KEY_ID.search(authorization)
        if signed is None:
            raise AwsError(
                "MissingAuthenticationTokenException", "Missing Authentication Token", status=403
            )
        accepted = self.faults.accepted_key_ids
        if accepted is not None and signed[1] not in accepted:
            raise AwsError(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            )

    def _check_own_answer(self, name: str, shape: Any, result: dict[str, Any]) -> None:
        timestamps = {"CreationTimestamp"}
        checked = {key: value for key, value in result.items() if key not in timestamps}
        wrong = [f"{name}: {violation}" for violation in violations(shape, checked)]
        if wrong:
            self.broken += wrong
            raise AwsError("InternalServerError", "; ".join(wrong), status=500)


def marked(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer marked as invented. The history keeps it as the run's raw response.

    Every answer has a model version, even if Rekognition's has none. The history's views exclude
    runs of this version.
    """
    versions = [key for key in answer if key.endswith("ModelVersion")] or ["FaceModelVersion"]
    types = [one | {"ModelVersion": MARK_VERSION} for one in answer.get("SelectedSegmentTypes", ())]
    segments = {"SelectedSegmentTypes": types} if types else {}
    return answer | dict.fromkeys(versions, MARK_VERSION) | segments | {"Emulator": MARK}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    endpoint: Endpoint

    def handle_error(self, request: object, client_address: object) -> None:
        del request
        log.debug("connection with %s ended", client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        target = self.headers.get("X-Amz-Target", "")
        endpoint = self.server.endpoint
        failure = endpoint.faults.next_failure(target.removeprefix(TARGET_PREFIX))
        if failure is not None and not failure.took_effect:
            self._fail(endpoint, failure)
            return
        try:
            answer = endpoint.answer(target, self.headers.get("Authorization", ""), body)
            if failure is None:
                self._send(200, answer)
            else:
                self._fail(endpoint, failure)
        except AwsError as error:
            endpoint.count_error(error.code)
            self._send_error(error.code, error.message, error.status)

    def do_HEAD(self) -> None:
        """Answer S3's HeadObject: the object exists, is missing, or is forbidden."""
        faults = self.server.endpoint.faults
        stored, fault = self.server.endpoint.object(self.path)
        status = faults.head_object_status or (404 if stored is None else 200)
        data = b"" if stored is None else stored.data
        if fault is not None:
            status = fault.head_status
        self.send_response(status)
        self.send_header("x-amz-bucket-region", faults.bucket_region)
        self.send_header("Content-Length", str(len(data) if status == 200 else 0))
        self.send_header("ETag", f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"')
        for name, value in fault.headers if fault is not None else ():
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self) -> None:
        """Answer S3's GetObject, of which the plugin reads a byte."""
        stored, fault = self.server.endpoint.object(self.path)
        status, code = (404, "NoSuchKey") if stored is None else (206, None)
        if self.server.endpoint.faults.head_object_status == 403:
            status, code = 403, "AccessDenied"
        if fault is not None:
            status, code = fault.status, fault.code
        body = f"<Error><Code>{code}</Code></Error>".encode() if code else b"?"
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, endpoint: Endpoint, failure: Failure) -> None:
        endpoint.count_error(failure.code)
        match failure.code:
            case "reset":
                self.close_connection = True
                self.connection.close()
            case "hang":
                time.sleep(failure.seconds)
                self.close_connection = True
            case "garbage":
                self._send_bytes(200, b"<html>Welcome to the proxy</html>")
            case "cut":
                self._send_bytes(200, b'{"Labels": [{"Name": "Car", "Conf')
            case code:
                self._send_error(code, failure.message, failure.status, dict(failure.headers))

    def _send_error(
        self, code: str, message: str, status: int, headers: dict[str, str] | None = None
    ) -> None:
        body = {"__type": code, "Code": code, "Message": message, "Logref": str(uuid.uuid4())}
        self._send(status, body, headers)

    def _send(
        self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> None:
        self._send_bytes(status, json.dumps(body).encode(), headers)

    def _send_bytes(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        log.debug(format, *args)
