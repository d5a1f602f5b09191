"""A bare ONNX Runtime loop over files: read, decode, scale, run. The least that detecting takes.

``python -m benchmarks.bare_loop MODEL FOLDER SIDE_PX``, in the folder ``tests``, goes through the
folder with a thread for each core, and prints images a second of the measured part.
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
    """The work for each file.

    Args:
        model: The network's file.
        side_px: Of its input.
    """

    def __init__(self, model: str, side_px: int) -> None:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
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


def main(model: str, folder: str, side_px: int) -> None:
    """Go through the folder."""
    loop, files = Loop(model, side_px), sorted(Path(folder).iterdir())
    warm = int(len(files) * WARM)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(loop.look, files[:warm]))
        began = time.perf_counter()
        list(pool.map(loop.look, files[warm:]))
        print((len(files) - warm) / (time.perf_counter() - began))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
