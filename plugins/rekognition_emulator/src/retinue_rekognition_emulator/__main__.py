"""Run the emulator as a program."""

import argparse
import signal
import sys
import threading

from retinue_rekognition_emulator.images import s3_source
from retinue_rekognition_emulator.server import Endpoint
from retinue_rekognition_emulator.video.notifications import sns_publisher
from retinue_rekognition_emulator.video.objects import s3_videos


def main() -> None:
    """Serve until a signal arrives."""
    parser = argparse.ArgumentParser(
        prog="python -m retinue_rekognition_emulator", description=__doc__
    )
    parser.add_argument("--port", type=int, default=8700, help="on 127.0.0.1; 0 for a free one")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="time that a call takes")
    parser.add_argument(
        "--requests-per-second",
        type=float,
        help="quota of each operation; by default Amazon's for videos, and none for images",
    )
    parser.add_argument(
        "--job-seconds-per-minute",
        type=float,
        default=2.0,
        help="how long a job takes for each minute of video",
    )
    parser.add_argument(
        "--without-s3",
        action="store_true",
        help="every S3 object exists, and its name determines the findings. Otherwise objects "
        "are read, and completion messages of videos published, as any program with boto3 does: "
        "AWS_ENDPOINT_URL has their address",
    )
    options = parser.parse_args()
    source, videos = (None, None) if options.without_s3 else (s3_source(), s3_videos())
    endpoint = Endpoint(
        port=options.port, source=source, marked=True, videos=videos, publish=sns_publisher()
    )
    endpoint.operations.video.jobs.seconds_per_minute = options.job_seconds_per_minute
    with endpoint:
        endpoint.faults.latency_ms = options.latency_ms
        if options.requests_per_second:
            endpoint.faults.set_quota(options.requests_per_second)
        else:
            endpoint.faults.set_video_quotas()
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        sys.stdout.write(
            f"listening on {endpoint.url}; this is not Amazon Rekognition: it invents\n"
        )
        sys.stdout.flush()
        stopped.wait()


if __name__ == "__main__":
    main()
