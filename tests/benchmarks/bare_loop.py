"""A bare ONNX Runtime loop over files: read, decode, scale, run. The least that detecting takes.

``python -m benchmarks.bare_loop MODEL FOLDER SIDE_PX``, in the folder ``tests``, prints images a
second of the measured part.
"""

import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

WARM = 0.15


def main(model: str, folder: str, side_px: int) -> None:
    """Go through the folder once."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    files = sorted(Path(folder).iterdir())
    began, warm = 0.0, int(len(files) * WARM)
    for number, file in enumerate(files):
        if number == warm:
            began = time.perf_counter()
        picture = Image.open(BytesIO(file.read_bytes())).convert("RGB")
        scale = side_px / max(picture.size)
        small = picture.resize((round(picture.width * scale), round(picture.height * scale)))
        canvas = np.zeros((side_px, side_px, 3), dtype=np.float32)
        canvas[: small.height, : small.width] = np.asarray(small)
        session.run(None, {name: np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])})
    print((len(files) - warm) / (time.perf_counter() - began))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
