"""The health check ``/health``, and ``/metrics``, over HTTP.

``python -m retinue_workers.ops.health PORT`` asks; it is what a container's health check runs, and
imports next to nothing, since it runs every half minute.
"""

import http.client
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retinue_workers.limits.receive_gate import ReceiveGate

ANSWER_SECONDS = 5.0
"""How long a health check waits for the answer, and a client may take for its question."""


class Liveness:
    """Decides whether the worker makes progress.

    It makes progress when a receive brings messages, or none while it holds none, and when a
    delivery is committed. A worker that does neither for longer than any detection may take is
    unhealthy, unless the receive gate says what it waits for: that is not the worker's fault.

    Args:
        limit_seconds: How long it may take to make progress.
        gate: Says why nothing is received.
        clock: The time in seconds.
        standstill: Returns a line if messages have waited for long, or nothing.
    """

    def __init__(
        self,
        limit_seconds: float,
        gate: "ReceiveGate",
        clock: Callable[[], float] = time.monotonic,
        standstill: Callable[[], str] = lambda: "",
    ) -> None:
        self._standstill = standstill
        self._limit_seconds = limit_seconds
        self._gate = gate
        self._clock = clock
        self._last = clock()

    def record_progress(self) -> None:
        """The worker made progress."""
        self._last = self._clock()

    def state(self) -> tuple[bool, str]:
        """Return whether the worker is healthy, and a line for people. Thread-safe."""
        reasons = self._gate.reasons()
        if reasons:
            self.record_progress()  # once the cause is gone, the time starts again
            lines = [f"waiting for {cause}: {why}" for cause, why in reasons.items()]
            return True, "; ".join([*filter(None, [self._standstill()]), *lines])
        still = self._clock() - self._last
        if still > self._limit_seconds:
            return False, f"unhealthy: nothing received or committed for {still:.0f} s"
        return True, "healthy"


class HealthServer:
    """Answers ``/health`` (200 or 503) and ``/metrics`` (Prometheus' text format).

    Args:
        port: TCP port, on every interface: Prometheus asks from outside; 0 chooses a free one.
        state: Whether the worker is healthy, and a line for people.
        metrics: The metrics as text.

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
                """Log nothing: it is asked twice a minute."""

        self._server = ThreadingHTTPServer(("", port), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def port(self) -> int:
        """The port that it is bound to."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Start answering, on threads of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(timeout=1.0)
        self._server.server_close()


def check_health(port: int) -> tuple[bool, str]:
    """Ask a worker on this machine whether it is healthy.

    Returns:
        Whether it is, and the line that it answered; or that it does not answer.
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
