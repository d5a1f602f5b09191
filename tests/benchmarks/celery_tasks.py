"""The same as a Celery task, on Celery's SQS transport. Runs in an environment of its own."""

import os
from typing import Any

import psycopg
from boto3_threads import clients, look
from celery import Celery

app = Celery("images", broker="sqs://test:test@")
app.conf.update(
    task_default_queue="images",
    broker_transport_options={
        "region": os.environ["AWS_REGION"],
        "predefined_queues": {
            "images": {
                "url": os.environ["BENCH_QUEUE_URL"],
                "access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
                "secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
            }
        },
        "wait_time_seconds": 20,
    },
    task_acks_late=True,  # at least once, as the others
    task_ignore_result=True,
    worker_hijack_root_logger=False,
    worker_prefetch_multiplier=10,
)

_of_this_process: dict[str, Any] = {}


@app.task(name="look")
def look_at(record: dict[str, Any]) -> None:
    """Look at one image."""
    if not _of_this_process:
        _of_this_process["rekognition"] = clients()[1]
        url = os.environ["BENCH_DATABASE_URL"]
        _of_this_process["connection"] = psycopg.connect(url, autocommit=True)
    look(_of_this_process["rekognition"], _of_this_process["connection"], record)
