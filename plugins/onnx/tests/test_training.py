"""The linear probe: against scikit-learn, and interrupted at any point."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from retinue_onnx.labels import OnnxLabelDetector, OnnxLabelOptions
from retinue_onnx.thresholds import thresholds_in_metadata
from retinue_onnx.training import features
from retinue_onnx.training.regression import L2, fit
from retinue_sdk import ConfigurationError, Image
from retinue_sdk.training import (
    Annotated,
    Example,
    Split,
    TrainingOptions,
    TrainingProgress,
    TrainingStoppedError,
)


def test_the_fit_is_scikit_learns() -> None:
    from sklearn.linear_model import LogisticRegression  # here, as importing it takes long
    from sklearn.metrics import log_loss

    random = np.random.default_rng(0)
    classes = random.integers(3, size=200)
    features = (random.normal(size=(200, 20)) + classes[:, None] * 0.3).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[classes]
    found = fit(
        (features, targets), (features, targets), exclusive=True, epochs=1_000, patience=1_000,
        after_epoch=lambda *_: None, stop=threading.Event(),
    ).model.probabilities(features)  # fmt: skip
    deviation = features.std(axis=0) * np.sqrt(features.shape[1])
    scaled = (features - features.mean(axis=0)) / deviation
    reference = LogisticRegression(C=1 / (L2 * len(features)), tol=1e-8, max_iter=10_000)
    expected = reference.fit(scaled, classes).predict_proba(scaled)
    assert log_loss(classes, found) == pytest.approx(log_loss(classes, expected), abs=1e-3)


@pytest.mark.parametrize("text", ["[]", "{", '{"cat": 2}', '{"cat": "high"}', '{"cat": NaN}'])
def test_thresholds_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="thresholds that can't be read"):
        thresholds_in_metadata({"thresholds": text})


@pytest.fixture
def split(photograph_path: Callable[[str], Path], tmp_path: Path) -> tuple[Split, list[str]]:
    """Return tiles of two photographs, and a list to which each loading adds a name."""
    loaded: list[str] = []

    def example(texture: str, number: int) -> Example:
        path = tmp_path / f"{texture}{number}.png"
        with Pillow.open(photograph_path(f"{texture}.png")) as photograph:
            left, top = number % 4 * 128, number // 4 * 128
            photograph.convert("RGB").crop((left, top, left + 128, top + 128)).save(path)

        def load() -> Image:
            loaded.append(path.name)
            return Image.from_file(path)

        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return Example(path.name, digest, load, (Annotated(texture),))

    parts = [
        [example(texture, number) for texture in ("brick", "grass") for number in numbers]
        for numbers in (range(6), range(6, 8), range(8, 10))
    ]
    return Split(*parts), loaded


def test_views_of_square_images_fill_the_canvas(
    split: tuple[Split, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "LEAST_SIDE", 1)
    trained = OnnxLabelDetector.trainer().train(
        split[0],
        TrainingOptions("ground"),
        cache=tmp_path / "a",
        progress=lambda _: None,
        stop=threading.Event(),
    )
    assert trained.f1 == 1


def test_a_killed_training_continues_and_ends_with_the_same_bytes(
    split: tuple[Split, list[str]], tmp_path: Path
) -> None:
    data, loaded = split
    trainer = OnnxLabelDetector.trainer()
    options, stop = TrainingOptions("ground"), threading.Event()

    def die(state: TrainingProgress) -> None:
        if (state.stage, state.done) == ("features", 10):
            raise MemoryError

    with pytest.raises(MemoryError):
        trainer.train(data, options, cache=tmp_path / "a", progress=die, stop=stop)
    assert 10 <= len(loaded) < 20
    again = trainer.train(data, options, cache=tmp_path / "a", progress=lambda _: None, stop=stop)
    assert len(loaded) == 20, "no image is read twice"
    assert again.f1 == 1
    (tmp_path / "model.onnx").write_bytes(again.model)
    for options_given, labels in (({}, ["grass"]), ({"threshold": 0.0}, ["grass", "brick"])):
        detector = OnnxLabelDetector(
            OnnxLabelOptions(model=tmp_path / "model.onnx", **options_given)
        )
        detector.start()
        [found] = detector.detect([data.test[-1].load()])
        assert [one.label for one in found.detections] == labels
    loaded.clear()

    # Ctrl-C before there is a model, and in the middle of the fit; then to the end elsewhere.
    stop.set()
    with pytest.raises(TrainingStoppedError):
        trainer.train(data, options, cache=tmp_path / "b", progress=lambda _: None, stop=stop)
    stop.clear()

    def interrupt(state: TrainingProgress) -> None:
        if (state.stage, state.done) == ("epochs", 3):
            stop.set()

    early = trainer.train(data, options, cache=tmp_path / "b", progress=interrupt, stop=stop)
    assert (early.stopped, early.epochs) == ("interrupted", 3)
    stop.clear()
    whole = trainer.train(data, options, cache=tmp_path / "b", progress=lambda _: None, stop=stop)
    assert whole.model == again.model
