"""Train a classifier: a linear probe on the features of EfficientNet-lite0.

The network stays as it is ("frozen"), and a logistic regression of its 1,280 features is fitted.
"""

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from retinue_sdk import ConfigurationError, Json
from retinue_sdk.accuracy import LEAST_CONFIDENCE, Curve, Truths, thresholds
from retinue_sdk.training import (
    Annotated,
    Answer,
    ShowProgress,
    Split,
    Trained,
    TrainingOptions,
    TrainingProgress,
)
from threadpoolctl import (  # type: ignore[import-untyped]  # it ships no type information
    threadpool_limits,
)

from retinue_onnx.candidates import Floats
from retinue_onnx.model_file import ModelFile
from retinue_onnx.training import regression
from retinue_onnx.training.features import VIEWS, Features, Sample, samples
from retinue_onnx.training.metadata import metadata
from retinue_onnx.training.regression import Regression

BASE = "efficientnet-lite0.onnx"

MAX_VIEWED = 5_000
"""Largest number of samples of which all views are learned. More are varied enough."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Samples with their features.

    Attributes:
        samples: The samples.
        features: Shape (samples × views, 1280).
        targets: Shape (samples × views, outputs).
        truths: The labels of each sample, shape (samples, labels).
    """

    samples: Sequence[Sample]
    features: Floats
    targets: Floats
    truths: Truths


class LinearProbe:
    """Trains classifiers for ``onnx-labels``."""

    @property
    def base(self) -> Mapping[str, Json]:
        """Return the network's name, hash and licence, and the version of this code."""
        file = ModelFile.find(None, bundled=BASE)
        return {
            "name": "EfficientNet-lite0",
            "sha256": file.sha256,
            "licence": "Apache-2.0",
            "trainer": "linear probe",
            "version": "2",
        }

    def train(
        self,
        split: Split,
        options: TrainingOptions,
        *,
        cache: Path,
        progress: ShowProgress,
        stop: threading.Event,
    ) -> Trained:
        """Train a classifier of whole images or of the contents of boxes."""
        labels = split.labels
        parts = [
            samples(part, crops=options.crops)
            for part in (split.train, split.validation, split.test)
        ]
        background = any(not sample.labels for sample in parts[0])
        if len(labels) + background < 2:
            raise ConfigurationError(
                f"a classifier needs two labels, or one and images without it; there are "
                f"{', '.join(labels) or 'none'}"
            )
        exclusive = all(len(sample.labels) < 2 for part in parts for sample in part)
        learned, validated, tested = self._features(
            parts,
            labels,
            options,
            cache,
            progress,
            stop,
            background=exclusive and any(not sample.labels for part in parts for sample in part),
        )
        epochs = options.epochs or regression.EPOCHS

        def after_epoch(epoch: int, loss: float, model: Regression) -> None:
            found = _curves(model.probabilities(validated.features), validated.truths)
            f1 = float(np.mean([one.best_f1() for one in found]))
            progress(TrainingProgress("epochs", epoch, epochs, loss, f1))

        # Small products of matrices gain nothing from threads, which wait for each other actively.
        with threadpool_limits(limits=1, user_api="blas"):
            fit = regression.fit(
                (learned.features, learned.targets),
                (validated.features, validated.targets),
                exclusive=exclusive,
                epochs=epochs,
                patience=options.patience or regression.PATIENCE,
                after_epoch=after_epoch,
                stop=stop,
            )
        found = _curves(fit.model.probabilities(validated.features), validated.truths)
        least = thresholds(dict(zip(labels, found, strict=True)))
        probabilities = fit.model.probabilities(tested.features)
        scores = tuple(
            curve.score(label, least[label])
            for curve, label in zip(_curves(probabilities, tested.truths), labels, strict=True)
        )
        return Trained(
            _export(fit.model, len(labels), metadata(options, labels, scores)),
            scores,
            tuple(
                _answer(sample, labels, least, row)
                for sample, row in zip(tested.samples, probabilities, strict=True)
            ),
            fit.epochs,
            fit.stopped,
            {
                "validation_loss": round(fit.loss, 6),
                "labels_are": "exclusive" if exclusive else "independent",
                "l2": regression.L2,
                "views": len(learned.features) // len(learned.samples),
            },
        )

    def _features(
        self,
        parts: Sequence[Sequence[Sample]],
        labels: Sequence[str],
        options: TrainingOptions,
        cache: Path,
        progress: ShowProgress,
        stop: threading.Event,
        *,
        background: bool,
    ) -> list[_Part]:
        file = ModelFile.find(None, bundled=BASE)
        features = Features(file.read(), file.sha256, cache, options.seed)
        total, done = sum(map(len, parts)), 0

        def advance() -> None:
            nonlocal done
            done += 1
            progress(TrainingProgress("features", done, total))

        found = []
        for number, part in enumerate(parts):
            views = VIEWS if number == 0 and len(part) <= MAX_VIEWED else 1
            array = features.of(part, views=views, advance=advance, stop=stop)
            truths = np.array([[label in one.labels for label in labels] for one in part], np.bool_)
            truths = truths.reshape(len(part), len(labels))
            targets = truths.astype(np.float32)
            if background:
                targets = np.concatenate([targets, ~truths.any(axis=1, keepdims=True)], axis=1)
            targets = np.repeat(targets.astype(np.float32), views, axis=0)
            found.append(_Part(part, array.reshape(-1, array.shape[2]), targets, truths))
        return found


def _curves(probabilities: Floats, truths: Truths) -> list[Curve]:
    """Return the curve of each label. The column after the labels' isn't one."""
    found = []
    for column, is_true in zip(probabilities.T.astype(float), truths.T, strict=False):
        reported = column >= LEAST_CONFIDENCE
        found.append(Curve(int(is_true.sum()), column[reported], is_true[reported]))
    return found


def _answer(
    sample: Sample, labels: Sequence[str], least: Mapping[str, float], row: Floats
) -> Answer:
    found = [
        (Annotated(label, sample.box), float(confidence))
        for label, confidence in zip(labels, row, strict=False)  # the last may be "none"
        if confidence >= LEAST_CONFIDENCE
    ]
    found.sort(key=lambda one: -one[1])
    is_right = {one.label for one, sure in found if sure >= least[one.label]} == sample.labels
    true = tuple(Annotated(label, sample.box) for label in sorted(sample.labels))
    return Answer(sample.example, tuple(found), true, is_right)


def _export(model: Regression, labels: int, props: dict[str, str]) -> bytes:
    """Return the network with this model instead of ImageNet's classes.

    Its outputs have the names and the order of the base, so the same reader understands it.
    """
    import onnx
    from onnx import helper, numpy_helper

    file = ModelFile.find(None, bundled=BASE)
    network = onnx.load_from_string(file.read())
    graph = network.graph
    used: set[str] = {"features"}
    kept = []
    for node in reversed(graph.node):  # from the features back to the image
        if used.intersection(node.output):
            used.update(node.input)
            kept.append(node)
    kept.reverse()
    weights = [one for one in graph.initializer if one.name in used]
    outputs = {one.name: one for one in graph.output}
    inputs = ["features", "probe.weight", "probe.bias"]
    nodes = [helper.make_node("Gemm", inputs, ["probe"], transB=1)]
    last = "probabilities" if len(model.bias) == labels else "all"
    nodes.append(helper.make_node("Softmax" if model.exclusive else "Sigmoid", ["probe"], [last]))
    more = [
        numpy_helper.from_array(np.ascontiguousarray(model.weights), "probe.weight"),
        numpy_helper.from_array(model.bias.astype(np.float32), "probe.bias"),
    ]
    if last == "all":  # the last output is "none of the labels"
        nodes.append(helper.make_node("Slice", ["all", "first", "end", "axis"], ["probabilities"]))
        bounds = {"first": [0], "end": [labels], "axis": [1]}
        more += [numpy_helper.from_array(np.array(v, np.int64), n) for n, v in bounds.items()]
    probabilities = helper.make_tensor_value_info(
        "probabilities", onnx.TensorProto.FLOAT, ["N", labels]
    )
    made = helper.make_graph(
        [*kept, *nodes],
        "linear-probe",
        list(graph.input),
        [probabilities, outputs["features"]],
        initializer=[*weights, *more],
    )
    whole = helper.make_model(
        made, opset_imports=list(network.opset_import), ir_version=network.ir_version
    )
    helper.set_model_props(whole, {**props, "base": hashlib.sha256(file.read()).hexdigest()})
    return bytes(whole.SerializeToString(deterministic=True))
