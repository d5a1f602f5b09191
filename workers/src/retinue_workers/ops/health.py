"""Serve ``/health`` and ``/metrics`` over HTTP.

``python -m retinue_workers.ops.health PORT`` requests ``/health``. A container's health check runs
it every half minute, so it imports few modules.
"""

import http.client
import sys
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retinue_workers.limits.receive_gate import ReceiveGate

ANSWER_SECONDS = 5.0
"""Time limit of a health check's request, and of a client's request."""


class Liveness:
    """Decides whether the worker makes progress.

    A receive of messages, an empty receive while none is in flight, and a commit are progress. A
    worker without progress for longer than a detection may take is unhealthy, unless the receive
    gate is closed for a cause outside the worker.

    Args:
        limit_seconds: Maximum time without progress.
        gate: Has the reasons why receiving is paused.
        clock: The time in seconds.
        standstill: Returns a line if messages have waited for long, otherwise an empty text.
        paused_jobs: Returns why jobs for videos wait, by cause. Receiving continues meanwhile.
    """

    def __init__(
        self,
        limit_seconds: float,
        gate: "ReceiveGate",
        clock: Callable[[], float] = time.monotonic,
        standstill: Callable[[], str] = lambda: "",
        paused_jobs: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._paused_jobs = paused_jobs
        self._standstill = standstill
        self._limit_seconds = limit_seconds
        self._gate = gate
        self._clock = clock
        self._last = clock()

    def record_progress(self) -> None:
        """Record progress."""
        self._last = self._clock()

    def state(self) -> tuple[bool, str]:
        """Return whether the worker is healthy, and the line to show. Thread-safe."""
        reasons = self._gate.reasons()
        waits = {**reasons, **self._paused_jobs()}
        lines = [f"waiting for {cause}: {why}" for cause, why in waits.items()]
        if reasons:
            self.record_progress()  # after the cause is gone, the time starts again
            return True, "; ".join([*filter(None, [self._standstill()]), *lines])
        still = self._clock() - self._last
        if still > self._limit_seconds:
            return False, f"unhealthy: nothing received or committed for {still:.0f} s"
        return True, "; ".join(lines) or "healthy"


class HealthServer:
    """Answers ``/health`` (200 or 503) and ``/metrics`` (Prometheus' text format).

    Args:
        port: TCP port on every interface, because Prometheus connects from outside. 0 chooses a
            free port.
        state: Returns whether the worker is healthy, and the line to show.
        metrics: Returns the metrics as text.

    Raises:
        OSError: The port is taken.
    """

    def __init__(
        self, port: int, state: Callable[[], tuple[bool, str]], metrics: Callable[[], bytes]
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = ANSWER_SECONDS

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/health":
                    healthy, line = state()
                    status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
                    self._answer(status, line.encode() + b"\n")
                elif path == "/metrics":
                    self._answer(HTTPStatus.OK, metrics())
                else:
                    self._answer(HTTPStatus.NOT_FOUND, b"ask /health or /metrics\n")

            def _answer(self, status: HTTPStatus, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                """Log nothing, because requests arrive twice a minute."""

        self._server = ThreadingHTTPServer(("", port), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def port(self) -> int:
        """Return the bound port."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Start answering, on separate threads."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(timeout=1.0)
        self._server.server_close()


def check_health(port: int) -> tuple[bool, str]:
    """Ask a worker on this machine for its health.

    Returns:
        Whether it is healthy, and its line. A worker that doesn't answer is unhealthy.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        return answer.status == HTTPStatus.OK, answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer on port {port}: {error}"
    finally:
        connection.close()


if __name__ == "__main__":
    is_healthy, line = check_health(int(sys.argv[1]))
    sys.stdout.write(line + "\n")
    sys.exit(0 if is_healthy else 1)
