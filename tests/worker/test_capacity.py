"""How many messages and images a worker holds."""

from typing import Any

import pytest
from retinue_sdk import Capabilities, Input
from retinue_workers.intake import capacity as module
from retinue_workers.intake.capacity import Capacity
from retinue_workers.settings.settings import Settings

GPU = (64, 2)


@pytest.mark.parametrize(
    ("batches", "settings", "held"),
    [
        ([], {}, Capacity(40, 8, 2)),
        ([(1, 8)], {}, Capacity(40, 8, 2)),
        ([(2, 2)], {}, Capacity(40, 8, 2)),
        ([(1, 8), GPU, (8, 1)], {}, Capacity(240, 192, 16)),
        ([GPU], {"prefetch_images": 20}, Capacity(40, 20, 16)),
        ([GPU], {"max_in_flight": 50, "prefetch_threads": 1}, Capacity(50, 192, 1)),
        ([], {"prefetch_images": 100}, Capacity(125, 100, 2)),
    ],
)
def test_what_is_not_set_follows_the_batches(
    monkeypatch: pytest.MonkeyPatch,
    batches: list[tuple[int, int]],
    settings: dict[str, Any],
    held: Capacity,
) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 16)
    declared = [
        Capabilities(Input.PIXELS, max_batch_size=images, max_concurrency=calls)
        for images, calls in batches
    ]
    assert Capacity.of(Settings(detectors={"echo": {}}, **settings), declared) == held
