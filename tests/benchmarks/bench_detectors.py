"""Measure each local detector in one process, against a bare ONNX Runtime loop.

``python -m benchmarks.bench_detectors`` (from tests/) prints the table and writes
benchmarks/detectors.json. Both decode JPEGs of 1280 × 960 pixels with a thread a core. The loop
resizes them to the network's input and runs the network; it reads no answer. ``onnx-text`` is
compared with the network that finds lines: these photographs have none to read.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

NETWORKS = {
    "onnx-objects": ("nanodet", (416, 416)),
    "onnx-faces": ("centerface", (1024, 768)),
    "onnx-labels": ("efficientnet-lite0", (224, 224)),
    "onnx-moderation": ("open-nsfw", (224, 224)),
    "onnx-text": ("text-lines", (960, 736)),
    "onnx-segments": ("selfie", (256, 256)),
    "onnx-pose": ("movenet", (256, 192)),
}
"""The network of each detector, and the width and height of its input for these photographs."""

ROUNDS = 3


def rate(look: Callable[[bytes], Any], pictures: Sequence[bytes]) -> float:
    """Return images a second with a thread a core."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(look, pictures[:4]))
        began = time.perf_counter()
        list(pool.map(look, pictures))
        return len(pictures) / (time.perf_counter() - began)


def loop(name: str) -> Callable[[bytes], Any]:
    """Return the work of the bare loop for one file."""
    import onnxruntime
    from PIL import Image

    network, size = NETWORKS[name]
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    path = str(files("retinue_onnx") / "models" / f"{network}.onnx")
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0].name

    def look(data: bytes) -> Any:
        small = Image.open(BytesIO(data)).convert("RGB").resize(size, Image.Resampling.BILINEAR)
        canvas = np.asarray(small, dtype=np.float32).transpose(2, 0, 1)[None]
        return session.run(None, {entry: np.ascontiguousarray(canvas)})

    return look


def measure(name: str, images: int) -> dict[str, float]:
    """Return the figures of one detector, in a process of its own."""
    from benchmarks.local_model import photographs

    pictures = list(photographs(images).values())
    began = time.perf_counter()
    from retinue_sdk import Image
    from retinue_sdk.plugins.manager import Plugins

    [detector] = Plugins().make({name: {}})
    detector.start()

    def look(data: bytes) -> Any:
        return detector.detect([Image.from_bytes(data)])

    look(pictures[0])
    first = time.perf_counter() - began
    rounds = [rate(look, pictures)]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    bare = loop(name)
    bares = [rate(bare, pictures)]
    for _ in range(ROUNDS - 1):
        rounds.append(rate(look, pictures))
        bares.append(rate(bare, pictures))
    ratios = [ours / theirs for ours, theirs in zip(rounds, bares, strict=True)]
    return {
        "images_per_second": statistics.median(rounds),
        "loop_images_per_second": statistics.median(bares),
        "ratio": statistics.median(ratios),
        "first_result_seconds": first,
        "peak_bytes": memory,
    }


def main() -> None:
    """Compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--one", choices=NETWORKS)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/detectors.json"))
    chosen = parser.parse_args()
    if chosen.one:
        sys.stdout.write(json.dumps(measure(chosen.one, chosen.images)))
        return
    told = {}
    sys.stdout.write(
        f"{'detector':18}{'images/s':>9}{'loop':>9}{'ratio':>7}{'first s':>9}{'MB':>6}\n"
    )
    for name in NETWORKS:
        command = [sys.executable, "-m", "benchmarks.bench_detectors", "--one", name]
        command += ["--images", str(chosen.images)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        told[name] = figures = json.loads(done.stdout)
        sys.stdout.write(
            f"{name:18}{figures['images_per_second']:>9.1f}"
            f"{figures['loop_images_per_second']:>9.1f}{figures['ratio']:>7.2f}"
            f"{figures['first_result_seconds']:>9.2f}{figures['peak_bytes'] / 1e6:>6.0f}\n"
        )
        sys.stdout.flush()
    chosen.output.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
