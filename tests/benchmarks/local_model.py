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
from retinue_workers.laptop import Emulator, State

from benchmarks.backlog import Site, drain
from benchmarks.environments import image_python
from benchmarks.process import TESTS

BUCKET = "photos"
SIDE_PX = 416
"""Of the input of NanoDet, the model that comes with the plugin."""


@dataclass(frozen=True)
class LocalRetinue:
    """The worker with ``onnx-objects``, its images in the emulator's S3."""

    s3: str
    pictures: Mapping[str, bytes]
    name: str = "Retinue, onnx-objects"

    def command(self) -> Sequence[str]:
        return [str(image_python()), "-m", "retinue_workers", "worker"]

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


def rates(images: int, server_url: str) -> tuple[float, float]:
    """Images a second of the worker, and of the bare loop, over the same photographs."""
    pictures = photographs(images)
    with tempfile.TemporaryDirectory() as folder:
        with Emulator(State(Path(folder, ".retinue"))) as emulator:
            s3 = emulator.endpoint.client("s3")
            s3.create_bucket(Bucket=BUCKET)
            for key, data in pictures.items():
                s3.put_object(Bucket=BUCKET, Key=key, Body=data)
            contender = LocalRetinue(emulator.endpoint.url, pictures)
            drained = drain(contender, images, 0, server_url)
        return drained.images_per_second, _bare(pictures, Path(folder, "files"))


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
        picture.save(file, "JPEG", quality=90)
        made[f"photos/{index:05}.jpg"] = file.getvalue() + str(index).encode()
    return made


def _bare(pictures: Mapping[str, bytes], folder: Path) -> float:
    folder.mkdir()
    for key, data in pictures.items():
        (folder / key.replace("/", "-")).write_bytes(data)
    model = next(Path(str(files("retinue_onnx"))).glob("models/nanodet*.onnx"))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bare_loop", str(model), str(folder), str(SIDE_PX)],
        cwd=TESTS,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)
