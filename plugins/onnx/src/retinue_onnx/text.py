"""The detector ``onnx-text``: lines and words."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from retinue_sdk import (
    BoundingBox,
    Capabilities,
    Detection,
    DetectorError,
    DetectorNotReadyError,
    Findings,
    Image,
    InvalidImageError,
    Json,
    Result,
)
from retinue_sdk.detection import MAX_LABEL_BYTES

from retinue_onnx.detector import RuntimeDetector
from retinue_onnx.errors import NotANumberError
from retinue_onnx.model_file import ModelFile
from retinue_onnx.options import RuntimeOptions

if TYPE_CHECKING:
    from retinue_sdk import Pixels

    from retinue_onnx.candidates import Floats
    from retinue_onnx.session import OnnxSession
    from retinue_onnx.text_reading import Reading

MODELS = ("text-lines.onnx", "text-angle.onnx", "text-reading.onnx")
"""They find lines, see which of them are upside down, and read them."""

ANGLE_BATCH = 32
"""Maximum number of lines that pass through the network for angles together."""


class OnnxTextOptions(RuntimeOptions):
    """Options of ``onnx-text``."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Minimum confidence of a line, 0 to 1. Its words are reported with it."""

    max_side_px: Annotated[int, Field(ge=64, le=4096, multiple_of=32)] = 960
    """Maximum side of the image in which lines are searched, in pixels. Larger images are shrunk,
    smaller ones are enlarged up to twice. Lines are read in the original image. Doubling the side
    takes four times as long.
    """


class OnnxTextDetector(RuntimeDetector[OnnxTextOptions]):
    """Reads lines and words in Latin and Chinese script: PP-OCRv4."""

    name: ClassVar[str] = "onnx-text"
    version: ClassVar[str] = "1"

    def __init__(self, options: OnnxTextOptions) -> None:
        super().__init__(options)
        self._files = [ModelFile.find(None, bundled=name) for name in MODELS]
        self._networks: _Networks | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Declare pixels. Images have different numbers of lines, so there are no batches.

        Raises:
            ConfigurationError: An execution provider can't be used.
        """
        return replace(
            super().capabilities, max_batch_size=self.options.max_batch_size or 1, max_wait_ms=0.0
        )

    @property
    def model_version(self) -> str:
        """Return the name of the models and the beginning of their common hash."""
        return f"pp-ocrv4-{self.model_fingerprint()[:12]}"

    def model_fingerprint(self) -> str:
        """Return a hash of the three models."""
        return hashlib.sha256("".join(file.sha256 for file in self._files).encode()).hexdigest()

    def start(self) -> None:
        """Load the networks.

        Raises:
            ConfigurationError: An execution provider can't be used.
        """
        self._networks = _Networks(*(self._session(file.read()) for file in self._files))
        self._log_start(self.model_version, self._networks.lines.provider)

    def close(self) -> None:
        """Release the networks and their memory."""
        self._networks = None

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Return the findings of each image, one after the other."""
        networks = self._networks
        if networks is None:
            raise DetectorNotReadyError(f"{self.name} was not started, or is closed")
        return [self._detect_one(networks, image) for image in images]

    def _detect_one(self, networks: "_Networks", image: Image) -> Result:
        try:
            lines = networks.read(image.pixels(), self.options.max_side_px)
        except DetectorError as error:
            return error
        except NotANumberError as error:
            return InvalidImageError(str(error), code="not_a_number")
        return Findings(
            detections=tuple(_detections(lines, self.options.threshold)),
            raw_response={"provider": networks.lines.provider, "lines": len(lines)},
            model_version=self.model_version,
            billed_units=Decimal(1),
        )


class _Networks:
    """The three loaded networks."""

    def __init__(self, lines: "OnnxSession", angle: "OnnxSession", reading: "OnnxSession") -> None:
        self.lines = lines
        self._angle = angle
        self._reading = reading
        self._alphabet = [*reading.metadata["character"].split("\n"), " "]

    def read(self, pixels: "Pixels", max_side_px: int) -> list[tuple["Floats", list["Reading"]]]:
        """Return each line's corners, in ratios of the image, and its characters.

        The corners are clockwise from where the line starts. A line without characters is omitted.

        Raises:
            NotANumberError: A network answers with NaN.
        """
        import numpy as np

        from retinue_onnx import text_lines, text_reading

        canvas, placement = text_lines.place(pixels, max_side_px)
        [likelihoods] = self.lines.run(text_lines.normalised(canvas))
        size = np.array((pixels.shape[1], pixels.shape[0]), np.float32)
        all_corners = [
            text_reading.from_start(level * size)
            for level in text_lines.lines(likelihoods[0, 0], placement)
        ]
        lines = [text_reading.cut_out(pixels, corners) for corners in all_corners]
        found = []
        for corners, line, upside_down in zip(
            all_corners, lines, self._are_upside_down(lines), strict=True
        ):
            if upside_down:
                line, corners = line[::-1, ::-1], np.roll(corners, 2, axis=0)
            batch = text_reading.recogniser_input(line)
            [[probabilities]] = self._reading.run(batch)
            used = line.shape[1] / batch.shape[3]
            characters = text_reading.read_characters(probabilities, self._alphabet, used)
            if characters:
                found.append((corners / size, characters))
        return found

    def _are_upside_down(self, lines: Sequence["Pixels"]) -> Iterator[bool]:
        """Return whether each line is upside down."""
        import numpy as np

        from retinue_onnx import text_reading

        for first in range(0, len(lines), ANGLE_BATCH):
            batch = [text_reading.angle_input(line) for line in lines[first : first + ANGLE_BATCH]]
            [likelihoods] = self._angle.run(np.concatenate(batch))
            yield from likelihoods[:, 1] >= text_reading.ANGLE_THRESHOLD


def _detections(
    lines: Sequence[tuple["Floats", list["Reading"]]], threshold: float
) -> Iterator[Detection]:
    """Return lines and then their words, with Amazon Rekognition's attributes.

    Ids count lines and words from 0, as there: first all lines, then all words.
    """
    from retinue_onnx.text_reading import line_of, words_of

    kept = [(c, line_of(chars), chars) for c, chars in lines]
    kept = [line for line in kept if line[1].confidence >= threshold]
    for number, (corners, line, _) in enumerate(kept):
        yield _detection(corners, line, {"Type": "LINE", "Id": number})
    words = [
        (corners, word, number)
        for number, (corners, _, characters) in enumerate(kept)
        for word in words_of(characters)
    ]
    for number, (corners, word, parent) in enumerate(words, start=len(kept)):
        yield _detection(corners, word, {"Type": "WORD", "Id": number, "ParentId": parent})


def _detection(corners: "Floats", reading: "Reading", attributes: dict[str, Json]) -> Detection:
    """Return a part of a line, whose corners are given."""
    start, end, below_end, below_start = corners.astype(float)
    ends = reading.start, reading.end
    top = [start + (end - start) * at for at in ends]
    bottom = [below_start + (below_end - below_start) * at for at in reversed(ends)]
    polygon = [(round(float(x), 5), round(float(y), 5)) for x, y in (*top, *bottom)]
    xs, ys = zip(*polygon, strict=True)
    points: list[Json] = [{"X": x, "Y": y} for x, y in polygon]
    return Detection(
        "text",
        reading.text.encode()[:MAX_LABEL_BYTES].decode(errors="ignore"),
        min(reading.confidence, 1.0),
        BoundingBox.from_edges(min(xs), min(ys), max(xs), max(ys), width=1, height=1),
        {**attributes, "Geometry": {"Polygon": points}},
    )
