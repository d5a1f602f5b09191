"""A bare ONNX Runtime loop over files: read, decode, scale, run. The least that detecting takes.

``python -m benchmarks.bare_loop MODEL FOLDER SIDE_PX``, in the folder ``tests``, goes through the
folder in the two ways in which one would write it, and prints images a second of the measured part
of each: ``one by one``, each run on all cores, as ONNX Runtime does by itself; and ``a thread for
each core``, each run on one.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

WARM = 0.15


class Loop:
    """What is done with each file.

    Args:
        model: The network's file.
        side_px: Of its input.
        threads: Of an operator; 0 is one for each core.
    """

    def __init__(self, model: str, side_px: int, threads: int) -> None:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            model, settings, providers=["CPUExecutionProvider"]
        )
        self._name = self._session.get_inputs()[0].name
        self._side_px = side_px

    def look(self, file: Path) -> None:
        side_px = self._side_px
        picture = Image.open(BytesIO(file.read_bytes())).convert("RGB")
        scale = side_px / max(picture.size)
        small = picture.resize((round(picture.width * scale), round(picture.height * scale)))
        canvas = np.zeros((side_px, side_px, 3), dtype=np.float32)
        canvas[: small.height, : small.width] = np.asarray(small)
        self._session.run(None, {self._name: np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])})


def rate(loop: Loop, files: list[Path], threads: int) -> float:
    """Images a second, after the first ones."""
    warm = int(len(files) * WARM)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(loop.look, files[:warm]))
        began = time.perf_counter()
        list(pool.map(loop.look, files[warm:]))
        return (len(files) - warm) / (time.perf_counter() - began)


def main(model: str, folder: str, side_px: int) -> None:
    """Go through the folder twice."""
    files = sorted(Path(folder).iterdir())
    print("one by one:", rate(Loop(model, side_px, 0), files, 1))  # noqa: T201
    cores = os.cpu_count() or 1
    print("a thread for each core:", rate(Loop(model, side_px, 1), files, cores))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
