"""New heads on NanoDet's body: the mathematics, and a small training from beginning to end."""

import hashlib
import io
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL import ImageDraw
from retinue_onnx.model_file import ModelFile
from retinue_onnx.objects import ObjectDetector, ObjectOptions
from retinue_onnx.readers.nanodet import STRIDES_PX, NanoDet, grids
from retinue_onnx.session import OnnxSession
from retinue_onnx.training.assignment import Targets, assign, cells_inside
from retinue_onnx.training.detection_head import (
    Gradients,
    Outputs,
    forward,
    gradients_of,
    losses,
    sampled,
)
from retinue_onnx.training.nanodet_body import BINS, HeadWeights, NanoDetBody
from retinue_onnx.training.new_heads import NewHeads
from retinue_sdk import BoundingBox, ConfigurationError, Findings, Image
from retinue_sdk.training import (
    Annotated,
    Example,
    Split,
    TrainingOptions,
    TrainingProgress,
    TrainingStoppedError,
)


@pytest.fixture(scope="module")
def bundled() -> bytes:
    return ModelFile.find(None, bundled="nanodet.onnx").read()


def difference(loss: Callable[[], float], array: np.ndarray, index: tuple[int, ...]) -> float:
    """Return the derivative of the loss by one number, by central differences."""
    kept = array[index]
    array[index] = kept + 1e-5
    above = loss()
    array[index] = kept - 1e-5
    below = loss()
    array[index] = kept
    return (above - below) / 2e-5


def test_the_gradients_of_outputs_are_those_of_the_loss() -> None:
    random = np.random.default_rng(1)
    logits, bins = random.normal(size=(9, 2)), random.normal(size=(9, 4 * BINS))
    targets = Targets(np.array([5]), np.array([1]), np.array([[1.25, 0.5, 3.0, 9.9]]))
    quality = np.array([0.7])

    def found() -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
        nothing = np.zeros((9, 0))
        return losses(Outputs(nothing, nothing, 1 / (1 + np.exp(-logits)), bins), targets, quality)

    cells, _, by_logits, by_bins = found()
    for row, cell in enumerate(cells):
        for number in range(2):
            expected = difference(lambda: found()[1], logits, (cell, number))
            assert by_logits[row, number] == pytest.approx(expected, rel=1e-3, abs=1e-6)
    for number in range(4 * BINS):
        expected = difference(lambda: found()[1], bins, (0, number))
        assert by_bins[0, number] == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_gradients_of_weights_are_those_of_the_loss() -> None:
    random = np.random.default_rng(2)
    features = random.normal(size=(3, 4, 2)).astype(np.float16)
    sizes = [(18, 5), (5,), (5, 2 + 4 * BINS), (2 + 4 * BINS,)]
    weights = HeadWeights(*(random.normal(size=size) for size in sizes))
    nothing = Targets(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 4)))

    def gradients() -> Gradients:
        return gradients_of(weights, forward(weights, features, 0.1), nothing, 0.1)

    for array, found in zip(weights.arrays, gradients().arrays, strict=True):
        for index in [(0,) * array.ndim, (1,) * array.ndim, (4,) * array.ndim]:
            expected = difference(lambda: gradients().loss, array, index)
            assert found[index] == pytest.approx(expected, rel=1e-2, abs=1e-3)


def test_the_bundled_heads_in_numpy_answer_like_the_network(
    bundled: bytes, photograph: Callable[[str], Image]
) -> None:
    body = NanoDetBody(bundled)
    session = OnnxSession(bundled)
    pre = NanoDet.preprocessing
    canvas, _ = pre.place(photograph("chelsea.png"), height=416, width=416)
    batch = pre.normalise(canvas[None])
    outputs = dict(zip(session.output_names, session.run(batch), strict=True))
    for stride, head, features in zip(STRIDES_PX, body.heads(), body.features(batch), strict=True):
        found = forward(head, features[0], body.slope)
        np.testing.assert_allclose(found.scores, outputs[f"cls_pred_stride_{stride}"][0], atol=0.01)
        np.testing.assert_allclose(found.bins, outputs[f"dis_pred_stride_{stride}"][0], atol=0.05)
    exported = OnnxSession(body.with_heads(body.heads(), {}))
    for one, other in zip(exported.run(batch), outputs.values(), strict=True):
        np.testing.assert_array_equal(one, other)


side = st.floats(1, 416)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(side, side, side, side), max_size=4))
def test_every_box_has_a_cell_that_learns_it(edges: list[tuple[float, ...]]) -> None:
    boxes = np.array([sorted(e[::2]) + sorted(e[1::2]) for e in edges], np.float32)
    boxes = boxes.reshape(-1, 4)[:, [0, 2, 1, 3]]
    found = assign(boxes, np.arange(len(boxes)), grids(416, 416))
    for targets, grid in zip(found, grids(416, 416), strict=True):
        assert (np.diff(targets.cells) > 0).all()
        assert ((targets.distances >= 0) & (targets.distances < BINS - 1)).all()
        assert targets.cells.max(initial=0) < grid.cells
    if len(boxes) == 1:
        assert any(len(targets.cells) for targets in found)


def test_background_cells_that_people_named_are_always_learned() -> None:
    grid = grids(416, 416)[0]
    targets = Targets(np.array([1, 7]), np.array([0, 1]), np.zeros((2, 4), np.float32))
    known = cells_inside(np.array([[0, 0, 25, 9]], np.float32), grid)
    assert known.tolist() == [0, 1, 2]
    cells = sampled(targets, known, grid.cells, np.random.default_rng(0)).tolist()
    assert cells[:2] == [1, 7]
    assert {0, 2} <= set(cells[2:])
    assert len(set(cells)) == len(cells) > 200


LABELS = ("disc", "square")


def drawn(seed: int) -> Example:
    """A picture with a red disc, a blue square, or both, or neither."""
    random = np.random.default_rng(seed)
    picture = PillowImage.new("RGB", (208, 208), tuple(random.integers(90, 200, 3)))
    draw = ImageDraw.Draw(picture)
    things = []
    for number, label in enumerate(LABELS):
        if seed % 4 in (number, 2):
            side = int(random.integers(50, 80))
            left = int(random.integers(104 - side / 2)) + 52 * number
            top = int(random.integers(104 - side)) + 104 * number
            shape = (left, top, left + side, top + side)
            (draw.ellipse if number == 0 else draw.rectangle)(shape, ["red", "blue"][number])
            box = BoundingBox.from_edges(*shape, width=208, height=208)
            things.append(Annotated(label, box))
    file = io.BytesIO()
    picture.save(file, "PNG")
    data = file.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    return Example(f"{seed}.png", sha256, lambda: Image.from_bytes(data), tuple(things))


@pytest.fixture(scope="module")
def split() -> Split:
    pictures = [drawn(seed) for seed in range(24)]
    return Split(pictures[:12], pictures[12:16], pictures[16:])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


OPTIONS = TrainingOptions("shapes", epochs=6)


class Stop(threading.Event):
    """Ends a training after an epoch."""

    def __init__(self, epoch: int = 1_000) -> None:
        super().__init__()
        self.epoch = epoch
        self.epochs: list[int] = []

    def after(self, progress: TrainingProgress) -> None:
        if progress.stage == "epochs":
            self.epochs.append(progress.done)
            if progress.done == self.epoch:
                self.set()


def test_a_trained_detector_finds_what_it_never_saw(
    split: Split, cache: Path, tmp_path: Path
) -> None:
    stop = Stop()
    trained = NewHeads().train(split, OPTIONS, cache=cache, progress=stop.after, stop=stop)
    assert stop.epochs == list(range(1, 7))
    assert trained.f1 > 0.6
    path = tmp_path / "shapes.onnx"
    path.write_bytes(trained.model)
    detector = ObjectDetector(ObjectOptions(model=path))
    detector.start()
    assert detector.describe()["first labels"] == list(LABELS)
    least = {one.label: one.threshold for one in trained.scores}
    for example, answer in zip(split.test, trained.answers, strict=True):
        (findings,) = detector.detect([example.load()])
        assert isinstance(findings, Findings)
        assert [(one.label, one.confidence) for one in findings.detections] == [
            (one.label, pytest.approx(confidence, abs=1e-5))
            for one, confidence in answer.found
            if confidence >= least[one.label]
        ]
    # A training that was killed after an epoch, and continued, is the same training.
    path = tmp_path / "again"
    early = Stop(epoch=2)
    stopped = NewHeads().train(split, OPTIONS, cache=path, progress=early.after, stop=early)
    assert (stopped.stopped, stopped.epochs) == ("interrupted", 2)
    rest = Stop()
    again = NewHeads().train(split, OPTIONS, cache=path, progress=rest.after, stop=rest)
    assert rest.epochs == list(range(3, 7))
    assert again.model == trained.model


def test_a_training_that_is_stopped_too_early_has_no_model(split: Split, tmp_path: Path) -> None:
    # The other tests' cache has a finished training.
    stop = threading.Event()
    stop.set()
    with pytest.raises(TrainingStoppedError):
        NewHeads().train(split, OPTIONS, cache=tmp_path, progress=print, stop=stop)


def test_things_without_a_box_are_refused(split: Split, cache: Path) -> None:
    bare = Example("bare.jpg", "0" * 64, split.train[0].load, (Annotated("disc"),))
    with pytest.raises(ConfigurationError, match=r"1 images have .* such as bare\.jpg"):
        NewHeads().train(
            Split([bare], split.validation, split.test),
            OPTIONS,
            cache=cache,
            progress=print,
            stop=threading.Event(),
        )
