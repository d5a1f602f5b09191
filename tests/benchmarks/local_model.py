"""A model on this machine: the worker's whole pipeline, beside a bare ONNX Runtime loop."""

import hashlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from fakes.events import created
from PIL import Image

from benchmarks.backlog import Site, drain
from benchmarks.environments import image_python
from benchmarks.object_service import file_name
from benchmarks.process import TESTS, service

BUCKET = "photos"
WORKER = "Retinue, local model"
LOOP = "loop with a thread a core"
SIDE_PX = 416
"""Of the input of NanoDet, the model that comes with the plugin."""


@dataclass(frozen=True)
class LocalRetinue:
    """The worker with ``onnx-objects``, which fetches its images from S3."""

    s3: str
    pictures: Mapping[str, bytes]
    name: str = WORKER
    processes: int = 1

    def command(self) -> Sequence[str]:
        return [str(image_python()), "-m", "retinue_workers"]

    def environment(self, site: Site) -> Mapping[str, str]:
        return {
            "AWS_ENDPOINT_URL_S3": self.s3,
            "RETINUE_QUEUE_URL": site.queue_url,
            "RETINUE_DATABASE_URL": site.database_url,
            "RETINUE_DETECTORS": json.dumps({"onnx-objects": {}}),
        }

    def bodies(self, number: int) -> Sequence[str]:
        described = (
            (key, hashlib.md5(data, usedforsecurity=False).hexdigest(), len(data))
            for key, data in list(self.pictures.items())[:number]
        )
        return [created(key, bucket=BUCKET, etag=etag, size=size) for key, etag, size in described]


def rates(images: int, server_url: str) -> dict[str, float]:
    """Return the images per second of the worker and of the loop, for the same photographs."""
    pictures = photographs(images)
    with tempfile.TemporaryDirectory() as folder:
        for key, data in pictures.items():
            Path(folder, file_name(key)).write_bytes(data)
        with service("object_service", folder) as s3:
            drained = drain(LocalRetinue(s3, pictures), images, 0, server_url)
        return {WORKER: drained.images_per_second, LOOP: _bare(folder)}


def photographs(number: int) -> dict[str, bytes]:
    """Photographs of 1280 × 960 pixels, each file another one, by key."""
    from skimage import data

    originals = [
        Image.fromarray(getattr(data, name)()).convert("RGB").resize((1280, 960))
        for name in ("astronaut", "chelsea", "coffee", "rocket")
    ]
    made = {}
    for index in range(number):
        file = io.BytesIO()
        picture = originals[index % len(originals)].copy()
        picture.putpixel((0, 0), (index % 256, index // 256, 0))
        # Not bytes after its end, which the decoder would search for the end of the picture.
        picture.save(file, "JPEG", quality=90, comment=str(index))
        made[f"photos/{index:05}.jpg"] = file.getvalue()
    return made


def _bare(folder: str) -> float:
    model = next(Path(str(files("retinue_onnx"))).glob("models/nanodet*.onnx"))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bare_loop", str(model), folder, str(SIDE_PX)],
        cwd=TESTS,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)
