"""How the cores are divided, and that calls at the same time give what one at a time does."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from retinue_onnx import parallelism as module
from retinue_onnx.objects import ObjectDetector, ObjectOptions
from retinue_onnx.parallelism import CPU, Parallelism, parallelism
from retinue_sdk import Findings, Image


@pytest.mark.parametrize(
    ("cores", "options", "divided"),
    [
        (1, {}, Parallelism(1, 1, 1, 0.0, CPU)),
        (2, {}, Parallelism(2, 1, 1, 0.0, CPU)),
        (64, {}, Parallelism(8, 1, 8, 0.0, CPU)),
        (8, {"max_concurrency": 1}, Parallelism(1, 1, 8, 0.0, CPU)),
        (8, {"max_concurrency": 3}, Parallelism(3, 1, 2, 0.0, CPU)),
        (2, {"max_concurrency": 5}, Parallelism(5, 1, 1, 0.0, CPU)),
        (4, {"threads": 3, "max_batch_size": 6}, Parallelism(4, 6, 3, 0.0, CPU)),
    ],
)
def test_a_cpu_looks_at_an_image_on_each_core(
    monkeypatch: pytest.MonkeyPatch, cores: int, options: dict[str, Any], divided: Parallelism
) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: cores)
    assert parallelism(ObjectOptions(providers=("CPUExecutionProvider",), **options)) == divided


def test_calls_at_the_same_time_find_what_one_finds(photograph_path: Callable[[str], Path]) -> None:
    detector = ObjectDetector(ObjectOptions(max_concurrency=4))
    assert detector.capabilities.max_concurrency == 4
    detector.start()
    names = ("astronaut.png", "coffee.png", "grace_hopper.jpg")
    images = [Image.from_file(photograph_path(name)) for name in names] * 8

    def look(image: Image) -> Any:
        (found,) = detector.detect([image])
        assert isinstance(found, Findings)
        return found.detections

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(look, images)) == [look(image) for image in images]
