"""The endpoint as a program."""

import argparse
import signal
import sys
import threading

from rekognition.endpoint.images import s3_source
from rekognition.endpoint.server import Endpoint


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m rekognition.endpoint", description=__doc__)
    parser.add_argument("--port", type=int, default=8700, help="on 127.0.0.1; 0 for a free one")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="time that a call takes")
    parser.add_argument(
        "--requests-per-second", type=float, help="quota of each operation; none by default"
    )
    parser.add_argument("--s3-endpoint-url", help="read images from there, as Rekognition would")
    options = parser.parse_args()
    source = s3_source(options.s3_endpoint_url) if options.s3_endpoint_url else None
    with Endpoint(port=options.port, source=source) as endpoint:
        endpoint.faults.latency_ms = options.latency_ms
        if options.requests_per_second:
            endpoint.faults.set_quota(options.requests_per_second)
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        sys.stdout.write(f"listening on {endpoint.url}; what it finds is invented\n")
        sys.stdout.flush()
        stopped.wait()


if __name__ == "__main__":
    main()
