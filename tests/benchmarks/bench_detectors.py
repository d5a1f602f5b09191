"""Measure each local detector in one process, against a bare ONNX Runtime loop.

``python -m benchmarks.bench_detectors`` (from tests/) prints the table, and writes
benchmarks/detectors.json and plugins/onnx/README.md; ``--only onnx-pose`` measures again what it
names. Both decode JPEGs of 1280 × 960 pixels with a thread a core, at a half or a quarter of their
size if that is enough. The loop resizes and normalises them as the network's authors do, and runs
the network; it reads no answer. That of ``onnx-moderation`` also compresses and crops them.
That of ``onnx-text`` runs the networks for angles and reading too, once for each line
that the detector found, with an input of the same size. The ratio is that of
processor time, which other programs hardly change.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.page import with_tables

NETWORKS = {
    "onnx-objects": ("nanodet", (416, 416), (416, 312)),
    "onnx-faces": ("centerface", (1024, 768), (1024, 768)),
    "onnx-labels": ("efficientnet-lite0", (224, 224), (224, 168)),
    "onnx-moderation": ("open-nsfw", (256, 256), (256, 256)),
    "onnx-text": ("text-lines", (960, 736), (960, 720)),
    "onnx-segments": ("selfie", (256, 256), (256, 256)),
    "onnx-pose": ("movenet", (256, 192), (256, 192)),
}
"""The network of each detector, and for these photographs width and height of its input and of the
resized photograph in it.
"""

PAGES = "onnx-text, pages of text"

WORDS = "the quick brown fox jumps over a lazy dog while 1234 people watch"

ROUNDS = 5
PAGE = Path(__file__).parents[2] / "plugins" / "onnx" / "README.md"


def rate(
    look: Callable[[bytes], Any], pictures: Sequence[bytes], seconds: float
) -> tuple[float, float]:
    """Return images a second with a thread a core, and images a second of processor time."""
    threads = len(os.sched_getaffinity(0))

    def work(thread: int) -> tuple[float, int]:
        began = time.perf_counter()
        for count, data in enumerate(cycle(pictures[thread:] + pictures[:thread]), start=1):
            look(data)
            if (took := time.perf_counter() - began) >= seconds:
                return count / took, count
        raise AssertionError

    began = time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        rates, counts = zip(*pool.map(work, range(threads)), strict=True)
    return sum(rates), sum(counts) / (time.process_time() - began)


def bare_session(network: str) -> Any:
    """Return ONNX Runtime's session of a bundled network, with one thread."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    path = str(files("retinue_onnx") / "models" / f"{network}.onnx")
    return onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])


def loop(name: str, lines: Mapping[bytes, Sequence[int]]) -> Callable[[bytes], Any]:
    """Return the work of the bare loop for one file.

    Args:
        name: The detector.
        lines: For ``onnx-text``, the widths of each file's lines, in pixels.
    """
    from PIL import Image

    network, size, inner = NETWORKS[name]
    preprocessing = preprocessing_of(name)
    order = slice(None, None, 1 if preprocessing.channels == "rgb" else -1)
    mean, deviation = (
        np.array(values[order], np.float32)[:, None, None]
        for values in (preprocessing.mean, preprocessing.deviation)
    )
    top = (size[1] - inner[1]) // 2
    session = bare_session(network)
    entry = session.get_inputs()[0].name
    reading = [bare_session(other) for other in ("text-angle", "text-reading") if lines]

    def look(data: bytes) -> Any:
        file = Image.open(BytesIO(data))
        if not lines:
            file.draft("RGB", inner)
        small = file.convert("RGB").resize(inner, Image.Resampling.BILINEAR)
        if name == "onnx-moderation":
            compressed = BytesIO()
            small.save(compressed, "JPEG")
            small = Image.open(compressed).crop((16, 16, 240, 240))
        pixels = np.asarray(small)
        if size != inner:
            canvas = np.full((size[1], size[0], 3), preprocessing.fill, np.uint8)
            canvas[top : top + inner[1]] = pixels
            pixels = canvas
        planes = pixels.transpose(2, 0, 1)[order]
        batch = np.ascontiguousarray(planes, dtype=np.float32)
        if mean.any():
            batch -= mean
        if (deviation != 1).any():
            batch /= deviation
        answer = session.run(None, {entry: batch[None]})
        for width in lines.get(data, ()):
            for other, side in zip(reading, (192, width), strict=True):
                line = np.zeros((1, 3, 48, side), np.float32)
                other.run(None, {other.get_inputs()[0].name: line})
        return answer

    return look


def preprocessing_of(name: str) -> Any:
    """Return how the network of a detector was trained to see images."""
    from retinue_onnx import centerface, efficientnet, movenet, open_nsfw, selfie, text_lines
    from retinue_onnx.readers.nanodet import NanoDet

    return {
        "onnx-objects": NanoDet.preprocessing,
        "onnx-faces": centerface.CenterFace.preprocessing,
        "onnx-labels": efficientnet.EfficientNet.preprocessing,
        "onnx-moderation": open_nsfw.OpenNsfw.preprocessing,
        "onnx-text": text_lines.PREPROCESSING,
        "onnx-segments": selfie.Selfie.preprocessing,
        "onnx-pose": movenet.MoveNet.preprocessing,
    }[name]


def lines_of(detector: Any, pictures: Sequence[bytes]) -> dict[bytes, list[int]]:
    """Return the widths of the lines that ``onnx-text`` reads in each file, in pixels."""
    from retinue_sdk import Image

    reading, found = detector._networks._reading, {}
    run = reading.run
    for data in pictures:
        widths = found[data] = list[int]()
        reading.run = lambda batch, widths=widths: (widths.append(batch.shape[3]), run(batch))[1]
        detector.detect([Image.from_bytes(data)])
    reading.run = run
    return found


def pages(count: int) -> list[bytes]:
    """Return pages of 1280 × 960 pixels with about 30 lines of text."""
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    random = np.random.default_rng(1)
    words = np.array(WORDS.split())
    made = []
    for _ in range(count):
        page = Image.new("RGB", (1280, 960), (235, 230, 210))
        for top in range(20, 930, 32):
            font = ImageFont.truetype(
                f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", random.integers(14, 26)
            )
            line = " ".join(random.choice(words, random.integers(2, 9)))
            ImageDraw.Draw(page).text((40, top), line, "black", font)
        file = BytesIO()
        page.save(file, "JPEG", quality=90)
        made.append(file.getvalue())
    return made


def measure(row: str, seconds: float) -> dict[str, float]:
    """Return the figures of one detector, in a process of its own."""
    from benchmarks.local_model import photographs

    name = row.partition(",")[0]
    pictures = pages(4) if name != row else list(photographs(8).values())
    began = time.perf_counter()
    from retinue_sdk import Image, ImageReference
    from retinue_sdk.plugins.manager import Plugins

    [detector] = Plugins().make({name: {}})
    detector.start()

    reference = ImageReference("benchmark", "photograph.jpg", etag="none")

    def look(data: bytes) -> Any:
        return detector.detect([Image(reference, lambda: data)])

    look(pictures[0])
    first = time.perf_counter() - began
    rate(look, pictures, seconds)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    bare = loop(name, lines_of(detector, pictures) if name == "onnx-text" else {})
    rate(bare, pictures, seconds)
    rounds, bares = [], []
    for _ in range(ROUNDS):
        rounds.append(rate(look, pictures, seconds))
        bares.append(rate(bare, pictures, seconds))
    return {
        "images_per_second": statistics.median(one for one, _ in rounds),
        "loop_images_per_second": statistics.median(one for one, _ in bares),
        "ratio": statistics.median(
            ours / theirs for (_, ours), (_, theirs) in zip(rounds, bares, strict=True)
        ),
        "first_result_seconds": first,
        "peak_bytes": memory,
    }


def table(told: Mapping[str, Mapping[str, float]]) -> str:
    """Return the figures as a table of plugins/onnx/README.md."""
    lines = [
        "| detector | images/s | bare loop | ÷ bare loop | first result | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name.replace(one := name.partition(',')[0], f'`{one}`')} "
        f"| {of['images_per_second']:.{0 if of['images_per_second'] >= 20 else 1}f} "
        f"| {of['loop_images_per_second']:.{0 if of['loop_images_per_second'] >= 20 else 1}f} "
        f"| {of['ratio']:.2f} | {of['first_result_seconds']:.1f} s "
        f"| {of['peak_bytes'] / 1e6:.0f} MB |"
        for name, of in told.items()
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Compare, print, write."""
    rows = [*NETWORKS]
    rows.insert(rows.index("onnx-text") + 1, PAGES)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round")
    parser.add_argument("--one", choices=rows)
    parser.add_argument("--only", choices=rows, nargs="*", default=rows)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/detectors.json"))
    chosen = parser.parse_args()
    if chosen.one:
        sys.stdout.write(json.dumps(measure(chosen.one, chosen.seconds)))
        return
    file = chosen.output
    earlier = json.loads(file.read_text("utf-8")) if file.exists() else {}
    for name in chosen.only:
        command = [sys.executable, "-m", "benchmarks.bench_detectors", "--one", name]
        command += ["--seconds", str(chosen.seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        earlier[name] = json.loads(done.stdout)
        sys.stdout.write(table({name: earlier[name]}).splitlines()[-1] + "\n")
        sys.stdout.flush()
    told = {name: earlier[name] for name in rows if name in earlier}
    file.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    page = with_tables(PAGE.read_text("utf-8"), {"detectors": table(told)})
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
