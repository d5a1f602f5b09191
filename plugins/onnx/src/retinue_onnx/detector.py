"""The common base of the detectors: load a network, pass it batches, return the findings."""

import logging
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from retinue_sdk import (
    Capabilities,
    Detection,
    Detector,
    DetectorError,
    DetectorNotReadyError,
    Findings,
    Image,
    Input,
    InvalidImageError,
    Json,
    Result,
)

from retinue_onnx.errors import NotANumberError
from retinue_onnx.model_file import ModelFile
from retinue_onnx.options import Axes, OnnxOptions, RuntimeOptions
from retinue_onnx.parallelism import Parallelism, parallelism

if TYPE_CHECKING:
    from retinue_sdk import Pixels

    from retinue_onnx.gpu_decoder import GpuDecoder
    from retinue_onnx.layout import Network
    from retinue_onnx.letterbox import Placement
    from retinue_onnx.recognition import ObjectLayout
    from retinue_onnx.running import Running
    from retinue_onnx.session import OnnxSession

logger = logging.getLogger(__name__)

RuntimeOptionsT = TypeVar("RuntimeOptionsT", bound=RuntimeOptions)
OptionsT = TypeVar("OptionsT", bound=OnnxOptions)
FoundT = TypeVar("FoundT")
"""The findings of the network in one image."""


@dataclass(frozen=True, slots=True)
class Placed:
    """An image on its canvas.

    Attributes:
        canvas: Shape (height, width, 3), uint8, RGB.
        placement: Its position on the canvas.
        pixels: The whole image, for a detector that cuts parts out of it.
    """

    canvas: "Pixels"
    placement: "Placement"
    pixels: "Pixels | None" = None


@dataclass(frozen=True, slots=True)
class Loaded(Generic[FoundT]):
    """A loaded network.

    Attributes:
        layout: Its layout.
        running: Runs it.
        provider: The execution provider.
        batch: Number of images that the network requires; ``None`` for any.
        description: Its inputs and outputs.
    """

    layout: "Network[FoundT]"
    running: "Running[FoundT]"
    provider: str
    batch: int | None
    description: Mapping[str, Json]


class RuntimeDetector(Detector[RuntimeOptionsT]):
    """A detector whose networks ONNX Runtime runs."""

    @property
    def capabilities(self) -> Capabilities:
        """Declare pixels. The other values depend on the options and the execution provider.

        Raises:
            ConfigurationError: An execution provider can't be used.
        """
        return Capabilities(
            input=Input.PIXELS,
            max_batch_size=self._parallelism.images,
            max_concurrency=self._parallelism.calls,
            max_wait_ms=self._parallelism.wait_ms,
            device=self._parallelism.provider,
        )

    @cached_property
    def _parallelism(self) -> Parallelism:
        return parallelism(self.options)

    def _session(self, model: bytes, axes: Axes | None = None) -> "OnnxSession":
        """Return a loaded network.

        Raises:
            ConfigurationError: The model or an execution provider can't be used.
        """
        from retinue_onnx.session import OnnxSession

        execution, threads = self.options.execution, self._parallelism.threads
        return OnnxSession(model, execution, threads=threads, axes=axes)

    def _log_start(self, network: str, provider: str) -> None:
        """Log what runs where, and whether a GPU was expected."""
        from retinue_onnx.session import usable_providers

        logger.info("%s runs %s on %s", self.name, network, provider)
        providers = self.options.execution.providers
        if provider != providers[0] and providers[0] in usable_providers(providers):
            logger.warning("%s: there is no device for %s", self.name, providers[0])


class OnnxDetector(RuntimeDetector[OptionsT], Generic[OptionsT, FoundT]):
    """A detector with an ONNX network.

    Attributes:
        bundled_model: File name of the bundled model.
    """

    bundled_model: ClassVar[str]

    def __init__(self, options: OptionsT) -> None:
        """Find the model file and compute its hash.

        Raises:
            ConfigurationError: The file doesn't exist.
        """
        super().__init__(options)
        self._loaded: Loaded[FoundT] | None = None
        self._decoder: GpuDecoder | None = None
        self._file = ModelFile.find(options.model, bundled=self.bundled_model)

    @property
    def _least(self) -> float:
        """Return the minimum confidence of the reader's findings."""
        return self.options.threshold or 0.0

    @property
    def _objects(self) -> "ObjectLayout | None":
        """Return the layout of a detector of objects, after ``_layout``."""
        return None

    @property
    def _axes(self) -> Axes | None:
        """Return the order of the axes that the user sets for the network's input."""
        return None

    @property
    def model_version(self) -> str:
        """Return the model file's name and the beginning of its SHA-256."""
        return self._version

    @cached_property
    def _version(self) -> str:
        return self._file.version

    def describe(self) -> Mapping[str, Json]:
        """Return the network's inputs, outputs and layout."""
        if self._loaded is None:
            return {}
        loaded = self._loaded
        return {**loaded.description, "provider": loaded.provider, "layout": loaded.layout.name}

    def model_fingerprint(self) -> str:
        """Return the SHA-256 of the model file."""
        return self._file.sha256

    def fingerprint(self) -> str:
        """Return the fingerprint of the options and of the model, wherever its file is."""
        options = self.options.model_copy(update={"model": None})
        return options.fingerprint(self.model_fingerprint())

    def start(self) -> None:
        """Load the network and run it once.

        Raises:
            ConfigurationError: The model or an execution provider can't be used.
        """
        model = self._file.read()
        if self.options.half_precision:
            from retinue_onnx.half_precision import halved

            model = halved(model)
        if self.options.decoder == "nvjpeg":
            from retinue_onnx.gpu_decoder import GpuDecoder

            self._decoder = GpuDecoder(self.options.execution.device_id)
        self._loaded = self._fused(model) if self._is_fused else self._unfused(model)
        loaded = self._loaded
        if (loaded.batch or 1) > self._parallelism.images:
            logger.warning(
                "%s: the model needs batches of %d images and gets at most %d: set the option "
                "max_batch_size to %d",
                *(self.name, loaded.batch, self._parallelism.images, loaded.batch),
            )
        self._log_start(f"{self._file.version} ({loaded.layout.name})", loaded.provider)

    @property
    def _is_fused(self) -> bool:
        if self.options.fused is None:
            return self._parallelism.is_accelerator
        return self.options.fused

    def _unfused(self, model: bytes) -> Loaded[FoundT]:
        from retinue_onnx.running import OnCpu

        session = self._session(model, self._axes)
        layout = self._layout(session)
        running = OnCpu(session, layout)
        return Loaded(layout, running, session.provider, session.batch, session.describe())

    def _fused(self, model: bytes) -> Loaded[FoundT]:
        from retinue_onnx.accelerator import Accelerator
        from retinue_onnx.fused import ROWS, fused
        from retinue_onnx.running import OnAccelerator
        from retinue_onnx.session import OnnxSession, new_session

        # It is inspected on the CPU, so that the accelerator has it once.
        inspected = OnnxSession(model, axes=self._axes)
        layout = self._layout(inspected)
        if not inspected.has_batch:
            return self._unfused(model)
        objects = self._objects
        session = new_session(
            fused(
                model,
                inspected,
                layout.preprocessing,
                reader=objects.reader if objects else None,
                shapes=objects.shapes if objects else (),
            ),
            self.options.execution,
            threads=self._parallelism.threads,
        )
        provider = session.get_providers()[0]
        accelerator = Accelerator(
            session,
            provider=provider,
            max_images=self._parallelism.images,
            batch=inspected.batch,
            device_id=self.options.execution.device_id,
        )
        running = OnAccelerator(
            accelerator,
            layout,
            has_rows=session.get_outputs()[0].name == ROWS,
            max_iou=objects.reader.MAX_IOU if objects else None,
        )
        return Loaded(layout, running, provider, inspected.batch, inspected.describe())

    def close(self) -> None:
        """Release the network and its memory."""
        self._loaded = self._decoder = None

    def prepare(self, image: Image) -> Placed:
        """Decode the image and place it on the network's canvas."""
        if self._decoder is not None:
            image = self._decoder.decoded(image)
        return Placed(*self._started().layout.place(image))

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Return the findings. Images with equal canvas sizes pass through the network together."""
        return self.find(images, self.prepare)

    def find(self, images: Sequence[Image], prepare: Callable[[Image], Placed]) -> Sequence[Result]:
        """Return the findings in images that ``prepare`` places on this network's canvases."""
        self._started()
        results: dict[int, Result] = {}
        batches: dict[tuple[int, ...], dict[int, Placed]] = defaultdict(dict)
        for index, image in enumerate(images):
            try:
                placed = image.prepared(prepare)
            except DetectorError as error:
                results[index] = error
            else:
                batches[placed.canvas.shape][index] = placed
        for batch in batches.values():
            results |= self._look_at(batch)
        return [results[index] for index in range(len(images))]

    def _look_at(self, placed: Mapping[int, Placed]) -> dict[int, Result]:
        """Return findings by index, for any number of images with equal canvases."""
        loaded, results = self._started(), dict[int, Result]()
        most = loaded.batch or self._parallelism.images
        images = list(placed.items())
        for first in range(0, len(images), most):
            results |= self._look(loaded, dict(images[first : first + most]))
        return results

    def _started(self) -> Loaded[FoundT]:
        if self._loaded is None:
            raise DetectorNotReadyError(f"{self.name} was not started, or is closed")
        return self._loaded

    def _look(self, loaded: Loaded[FoundT], batch: Mapping[int, Placed]) -> dict[int, Result]:
        """Return findings by index in the batch, for images with equal canvases."""
        try:
            canvases = [placed.canvas for placed in batch.values()]
            found = loaded.running.find(canvases, self._least, self.on_stage)
        except NotANumberError as error:
            if len(batch) > 1:  # find the image that causes the error
                singles = (self._look(loaded, {index: one}) for index, one in batch.items())
                return {index: result for single in singles for index, result in single.items()}
            return dict.fromkeys(batch, InvalidImageError(str(error), code="not_a_number"))
        return {
            index: self._findings(loaded, placed, of_one)
            for (index, placed), of_one in zip(batch.items(), found, strict=True)
        }

    def _findings(self, loaded: Loaded[FoundT], placed: Placed, found: FoundT) -> Findings:
        height, width = placed.canvas.shape[:2]
        return Findings(
            detections=tuple(self._detections(found, placed.placement)),
            raw_response={
                "provider": loaded.provider,
                "layout": loaded.layout.name,
                "input": [height, width],
            },
            model_version=self.model_version,
            billed_units=Decimal(1),
        )

    @abstractmethod
    def _layout(self, session: "OnnxSession") -> "Network[FoundT]":
        """Return the network's layout.

        Raises:
            ConfigurationError: Its outputs aren't supported.
        """

    @abstractmethod
    def _detections(self, found: FoundT, placement: "Placement") -> list[Detection]:
        """Return the reported detections, best first."""
