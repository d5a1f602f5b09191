"""Detectors whose answers fail one check each."""

import itertools
import time
from collections.abc import Sequence
from decimal import Decimal
from io import BytesIO
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field
from retinue_sdk import (
    BoundingBox,
    Capabilities,
    DetectorNotReadyError,
    Findings,
    Image,
    Input,
    InvalidImageError,
    Json,
    Operational,
    Result,
    RetriableError,
)

from retinue_hostile.conforming import ConformingBase, ConformingOptions

if TYPE_CHECKING:
    from retinue_sdk import Pixels


class ForgetsTwins(ConformingBase[ConformingOptions]):
    """Stores results by image id, so an image that occurs twice in a batch gets one result."""

    name: ClassVar[str] = "failing-answers-complete"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Return one result for two equal images."""
        different = {image.image_id: image for image in images}
        return super().detect(list(different.values()))


class ForeignNumbers(ConformingBase[ConformingOptions]):
    """Returns NumPy numbers."""

    name: ClassVar[str] = "failing-answers-are-json"

    def response(self, mean: Any) -> Json:
        """Return a number that isn't JSON."""
        import numpy as np

        foreign: Any = {"mean": np.float32(mean)}
        return foreign  # type: ignore[no-any-return]  # that is the mistake


class PixelBoxes(ConformingBase[ConformingOptions]):
    """Returns boxes in pixels."""

    name: ClassVar[str] = "failing-boxes-normalised"

    def box(self, edges: tuple[int, int, int, int], size: tuple[int, int]) -> BoundingBox:
        """Return edges in pixels."""
        del size
        left, top, right, bottom = edges
        return BoundingBox(left, top, right - left, bottom - top)


class NothingIsWrong(ConformingBase[ConformingOptions]):
    """Returns an error if it finds nothing."""

    name: ClassVar[str] = "failing-empty-is-no-failure"

    def findings(self, pixels: "Pixels") -> Findings:
        """Return an error for a picture of one shade."""
        if pixels.min() == pixels.max():
            raise InvalidImageError("nothing found", code="nothing_found")
        return super().findings(pixels)


class Moody(ConformingBase[ConformingOptions]):
    """Returns a different confidence from each instance."""

    name: ClassVar[str] = "failing-deterministic"
    moods = itertools.cycle((0.0, 0.25))

    def __init__(self, options: ConformingOptions) -> None:
        super().__init__(options)
        self.mood = next(self.moods)

    def box(self, edges: tuple[int, int, int, int], size: tuple[int, int]) -> BoundingBox:
        """Return a box shifted by the offset."""
        box = super().box(edges, size)
        return BoundingBox(box.left, box.top, box.width, box.height * (1 - self.mood))


class Gratis(ConformingBase[ConformingOptions]):
    """Has a price but returns no billed units."""

    name: ClassVar[str] = "failing-priced"

    def units(self) -> Decimal:
        """Return 0."""
        return Decimal(0)


class FullOptions(ConformingOptions):
    """The duration of a full batch."""

    seconds: Annotated[float, Field(ge=0, le=3_600), Operational()] = 3_600
    """Duration of a full batch, in seconds."""


class SlowWhenFull(ConformingBase[FullOptions]):
    """Declares a batch size that exceeds the timeout."""

    name: ClassVar[str] = "failing-in-time"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Hang for a full batch."""
        if len(images) == self.options.max_batch_size:
            time.sleep(self.options.seconds)
        return super().detect(images)


class SecretReader(ConformingBase[ConformingOptions]):
    """Declares ``Input.REFERENCE`` but downloads images."""

    name: ClassVar[str] = "failing-input-honest"

    @property
    def capabilities(self) -> Capabilities:
        """Declare a wrong input."""
        return Capabilities(Input.REFERENCE, max_batch_size=self.options.max_batch_size)


class PreparesInVain(ConformingBase[ConformingOptions]):
    """Decodes the image again, although the worker has prepared it."""

    name: ClassVar[str] = "failing-prepared-equals-unprepared"

    def prepare(self, image: Image) -> "Pixels":
        """Return the pixels."""
        return super().see(image)

    def see(self, image: Image) -> "Pixels":
        """Return the pixels, but not the prepared ones."""
        return self.prepare(image)


class BatchNormalised(ConformingBase[ConformingOptions]):
    """Returns results for an image that depend on the rest of its batch."""

    name: ClassVar[str] = "failing-batch-equals-singles"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Return the answers in the order of the keys."""
        return super().detect(sorted(images, key=lambda image: image.reference.key))


class Unturned(ConformingBase[ConformingOptions]):
    """Decodes files itself and ignores EXIF orientation."""

    name: ClassVar[str] = "failing-orientation"

    def see(self, image: Image) -> "Pixels":
        """Return the picture as stored, if the worker could decode it."""
        import numpy as np
        from PIL import Image as Pillow

        upright = image.pixels()
        with Pillow.open(BytesIO(image.read())) as stored:
            return upright if stored.mode != "RGB" else np.asarray(stored)


class ColourOnly(ConformingBase[ConformingOptions]):
    """Fails for greyscale images."""

    name: ClassVar[str] = "failing-odd-formats"

    def findings(self, pixels: "Pixels") -> Findings:
        """Divide by the number of colours, except for empty pictures."""
        import numpy as np

        colours = int(np.ptp(pixels.astype(int), axis=2).max())
        shown = int(np.ptp(pixels)) > 0
        if shown and colours == 0:
            raise ZeroDivisionError("no colour to divide by")
        return super().findings(pixels)


class NeedsRoom(ConformingBase[ConformingOptions]):
    """Fails for tiny images."""

    name: ClassVar[str] = "failing-odd-sizes"

    def findings(self, pixels: "Pixels") -> Findings:
        """Use every eighth pixel, which a tiny picture doesn't have."""
        float(pixels[4::8, 4::8].max())
        return super().findings(pixels)


class OwnWords(ConformingBase[ConformingOptions]):
    """Replaces the worker's error code with its own."""

    name: ClassVar[str] = "failing-too-large-refused"

    def answer(self, image: Image) -> Result:
        """Rename the error of an image that is too large."""
        result = super().answer(image)
        if isinstance(result, InvalidImageError) and result.code.startswith("too_many"):
            return InvalidImageError("no room", code="no_room")
        return result


class FailedIsEmpty(ConformingBase[ConformingOptions]):
    """Returns empty findings for unreadable files."""

    name: ClassVar[str] = "failing-corrupt-refused"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Return empty findings instead of an error, if the image is alone."""
        results = super().detect(images)
        return [self._hidden(result) if len(images) == 1 else result for result in results]

    def _hidden(self, result: Result) -> Result:
        unreadable = ("corrupt_image", "unsupported_format", "empty_file")
        if isinstance(result, InvalidImageError) and result.code in unreadable:
            return Findings()
        return result


class AllForOne(ConformingBase[ConformingOptions]):
    """Fails a whole batch because of one image."""

    name: ClassVar[str] = "failing-batch-survives-bad-image"

    def answer(self, image: Image) -> Result:
        """Raise the error instead of returning it."""
        return self.look(image)


class Hopeless(ConformingBase[ConformingOptions]):
    """Turns temporary errors into permanent ones."""

    name: ClassVar[str] = "failing-retriable-stays-retriable"

    def answer(self, image: Image) -> Result:
        """Turn every error into ``InvalidImageError``."""
        result = super().answer(image)
        if isinstance(result, RetriableError | DetectorNotReadyError):
            return InvalidImageError(f"cannot be read: {result}", code="unreadable")
        return result


class Hopeful(ConformingBase[ConformingOptions]):
    """Turns permanent errors into temporary ones."""

    name: ClassVar[str] = "failing-permanent-stays-permanent"

    def answer(self, image: Image) -> Result:
        """Turn every error into ``RetriableError``."""
        result = super().answer(image)
        if isinstance(result, InvalidImageError) and result.retryable:
            return RetriableError(str(result))
        return result


class Overcharged(ConformingBase[ConformingOptions]):
    """Blames the image when its service throttles; tests throttle the service."""

    name: ClassVar[str] = "failing-faults-classified"
    throttled: ClassVar[bool] = False

    def answer(self, image: Image) -> Result:
        """Turn the service's throttling into ``InvalidImageError``."""
        if type(self).throttled:
            return InvalidImageError("the service answered 429", code="service_error")
        return super().answer(image)
