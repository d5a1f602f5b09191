"""Measure the used share of a quota: one worker, four workers, and a quota that is halved.

A Rekognition of our own (this process) answers after 200 ms and lets 50 requests a second through;
workers are processes of their own, on a real PostgreSQL. Prints a table and writes
``benchmarks/rate_limits.json``. On a busy machine give it priority (``nice -n -15``, as root): what
is measured is rate limiting, and not how long calls wait for a processor::

    PYTHONPATH=tests python -m benchmarks.bench_rate_limits [--seconds 30]
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from benchmarks.database import database, postgres

ROOT = Path(__file__).parents[2]
QUOTA = 50.0
LATENCY_SECONDS = 0.2
WARM_UP_SECONDS = 3.0
"""Left out at the beginning: workers start one after the other, and divide the quota anew."""


class Limiter(Protocol):
    """Lets so many requests a second through."""

    def take(self, now: float) -> bool:
        """Return whether a request at ``now`` may pass."""

    def set_quota(self, requests_per_second: float) -> None:
        """Change the quota."""


class TokenBucket:
    """So many tokens a second, at most ``burst`` saved up."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._tokens, self._at = rate, burst, burst, 0.0

    def take(self, now: float) -> bool:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        passes = self._tokens >= 1
        self._tokens -= passes
        return passes

    def set_quota(self, requests_per_second: float) -> None:
        self._rate = requests_per_second
        self._burst = min(self._burst, requests_per_second)


class SlidingWindow:
    """So many requests in any second."""

    def __init__(self, rate: float) -> None:
        self._rate, self._passed = rate, deque[float]()

    def take(self, now: float) -> bool:
        while self._passed and self._passed[0] <= now - 1:
            self._passed.popleft()
        passes = len(self._passed) < self._rate
        if passes:
            self._passed.append(now)
        return passes

    def set_quota(self, requests_per_second: float) -> None:
        self._rate = requests_per_second


class FixedWindow:
    """So many requests in each second of the clock."""

    def __init__(self, rate: float) -> None:
        self._rate, self._second, self._passed = rate, -1, 0

    def take(self, now: float) -> bool:
        if int(now) != self._second:
            self._second, self._passed = int(now), 0
        passes = self._passed < self._rate
        self._passed += passes
        return passes

    def set_quota(self, requests_per_second: float) -> None:
        self._rate = requests_per_second


LIMITERS: dict[str, Callable[[], Limiter]] = {
    "bucket of 1": lambda: TokenBucket(QUOTA, 1),
    "bucket of 2": lambda: TokenBucket(QUOTA, 2),
    "bucket of 5": lambda: TokenBucket(QUOTA, 5),
    "bucket of 50": lambda: TokenBucket(QUOTA, 50),
    "sliding window": lambda: SlidingWindow(QUOTA),
    "fixed window": lambda: FixedWindow(QUOTA),
}


class Service:
    """Rekognition's DetectLabels, as far as a quota needs it."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter, self._lock = limiter, Lock()
        self.passed: list[float] = []
        self.throttled: list[float] = []

    def answer(self) -> bool:
        with self._lock:
            now = time.monotonic()
            passes = self._limiter.take(now)
            (self.passed if passes else self.throttled).append(now)
        if passes:
            time.sleep(LATENCY_SECONDS)
        return passes

    def halve(self) -> None:
        with self._lock:
            self._limiter.set_quota(QUOTA / 2)


@contextmanager
def served(service: Service) -> Iterator[str]:
    """Serve on 127.0.0.1, and yield the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if service.answer():
                self._say(200, {"Labels": [], "LabelModelVersion": "3.0"})
            else:
                code = "ProvisionedThroughputExceededException"
                self._say(400, {"__type": code, "message": "Provisioned rate exceeded"})

        def _say(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128
        disable_nagle_algorithm = True

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class Measured:
    """One case.

    Attributes:
        limiter: How the service counts.
        workers: How many processes.
        of_quota: Calls that passed, by calls that the quota allowed, after the warm-up.
        throttled: Throttled calls, by all calls; from the first call on.
        of_half: As ``of_quota``, from the moment on when the quota was halved.
        throttled_half: As ``throttled``, from that moment on.
        load: The machine's, over the last minute, at the end.
    """

    limiter: str
    workers: int
    of_quota: float
    throttled: float
    of_half: float
    throttled_half: float
    load: float


def measure(name: str, workers: int, seconds: float, server_url: str) -> Measured:
    """Run workers for ``seconds`` at the whole quota, and again at half of it."""
    service = Service(LIMITERS[name]())
    with database(server_url) as history_url, served(service) as url:
        program = [sys.executable, "-m", "benchmarks.limited_worker", history_url, url]
        processes = [subprocess.Popen(program, cwd=ROOT / "tests") for _ in range(workers)]
        try:
            _until(lambda: len(service.passed) >= 10 * workers)
            began = time.monotonic() + WARM_UP_SECONDS
            time.sleep(WARM_UP_SECONDS + seconds)
            halved = time.monotonic()
            service.halve()
            time.sleep(seconds)
            ended = time.monotonic()
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
    passed = _between(service.passed, began, halved)
    throttled = _between(service.throttled, 0, halved)
    passed_half = _between(service.passed, halved, ended)
    throttled_half = _between(service.throttled, halved, ended)
    return Measured(
        name,
        workers,
        passed / (QUOTA * (halved - began)),
        throttled / (_between(service.passed, 0, halved) + throttled),
        passed_half / (QUOTA / 2 * (ended - halved)),
        throttled_half / (passed_half + throttled_half),
        os.getloadavg()[0],
    )


def main() -> None:
    """Measure every limiter with one worker and with four."""
    parser = argparse.ArgumentParser(description="How much of a quota workers make use of.")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each half of a case")
    parser.add_argument("--limiter", choices=LIMITERS, action="append", help="all by default")
    chosen = parser.parse_args()
    results = []
    print("limiter          workers  of quota  throttled  of half  throttled   load")  # noqa: T201
    with postgres() as server_url:
        for name in chosen.limiter or LIMITERS:
            for workers in (1, 4):
                one = measure(name, workers, chosen.seconds, server_url)
                results.append(asdict(one))
                print(  # noqa: T201
                    f"{name:16} {workers:7} {one.of_quota:9.1%} {one.throttled:10.2%} "
                    f"{one.of_half:8.1%} {one.throttled_half:10.2%} {one.load:6.1f}",
                    flush=True,
                )
    file = ROOT / "benchmarks" / "rate_limits.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _between(times: list[float], start: float, end: float) -> int:
    return sum(start <= moment < end for moment in times)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the workers make no calls")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
