"""A worker process of the benchmark: the real worker, on a queue that is never empty.

``python -m benchmarks.limited_worker DATABASE_URL ENDPOINT_URL``
"""

import logging
import os
import signal
import sys
import threading
import uuid
from importlib.metadata import EntryPoint

import structlog
from fakes.rig import Rig, keys
from retinue_history import ConnectionPool, History
from retinue_sdk.plugins.manager import Plugins

POINT = EntryPoint("rekognition", "retinue_rekognition.plugin", "retinue")
BACKLOG = 200


def main(database_url: str, endpoint_url: str) -> None:
    """Work until SIGTERM."""
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    pool = ConnectionPool(database_url)
    rig = Rig(History(pool), url=database_url)
    rig.plugins = Plugins((POINT,))
    name, number = uuid.uuid4().hex, 0
    options = {"endpoint_url": endpoint_url, "max_concurrency": 16}
    with rig.running({"rekognition-labels": options}, max_in_flight=40):
        while not stopping.wait(0.2):
            while len(rig.queue.receive_counts()) < BACKLOG:
                for key in keys(20, f"{name}-{number}"):
                    rig.upload(key)
                number += 1
    pool.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
