"""A pool goes to another version of its model while images keep coming."""

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import onnx
import pytest
from fakes.command import run_retinue
from faults.site import Site

DETECTOR = "onnx-labels"

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def add_version(number: int, f1: float) -> Path:
    """Write a version of the model ``ground``: the bundled network, under its own hash."""
    bundled = Path(str(resources.files("retinue_onnx"))) / "models/efficientnet-lite0.onnx"
    model = onnx.load(bundled)
    onnx.helper.set_model_props(model, {"version": str(number)})
    folder = Path("models/ground") / str(number)
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    (folder / "card.json").write_text(json.dumps({"f1": f1}), "utf-8")
    return (folder / "model.onnx").absolute()


def configured() -> dict[str, Any]:
    """Return the detectors of the pool's file, as a new worker reads them."""
    return dict(json.loads(Path("pool.json").read_text("utf-8")))


def test_no_image_is_lost_when_a_pool_is_switched_forth_and_back(
    make_site: Callable[..., Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(max_receive_count=50)  # each worker that ends costs what it holds a receive
    monkeypatch.chdir(tmp_path)
    first = add_version(1, 0.8)
    add_version(2, 0.9)
    options = {"model": str(first), "threshold": 0, "max_labels": 1, "groups": False}
    Path("pool.json").write_text(json.dumps({DETECTOR: options}), "utf-8")

    def promote(*arguments: str) -> None:
        """Switch with a deployment that ends the old workers; ECS then starts new ones."""
        old = site.living()
        end = "kill -TERM " + " ".join(str(one.pid) for one in old)
        run_retinue(
            "models", "promote", "ground", "--config", "pool.json", "--apply", end, *arguments
        )
        site.start(configured())
        assert [one.wait(60) for one in old] == [0] * len(old), site.tail()
        site.start(configured())

    def work(images: int) -> None:
        """Return in the middle of the work: some images are done, others are in flight."""
        before = site.done()
        site.upload_pictures(images)
        site.until(lambda: site.done() > before + 2)
        assert site.counts() != (0, 0)

    for _ in range(2):
        site.start(configured())
    work(30)
    promote()
    work(30)
    promote("--back")
    work(30)
    site.until_empty()
    site.stop()

    site.check({DETECTOR: {}})
    models = site.rows("SELECT model_version AS model, count(*) FROM runs GROUP BY 1 ORDER BY 1")
    assert [one["model"].rpartition("-")[0] for one in models] == ["ground-1", "ground-2"]
    assert sum(one["count"] for one in models) == len(site.sent) == 90, "none was done again"
