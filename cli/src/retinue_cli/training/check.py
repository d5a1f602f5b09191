"""Check training data before the training costs money, and report all problems together."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from retinue_cli.data.ground_truth import Problems
from retinue_cli.output.words import count
from retinue_cli.training import limits
from retinue_cli.training.data import TrainingImage, covers, has_boxes, labels_of, whole_px

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

HEADER_BYTES = 256 * 1024
"""How much of an object is read. Format and size are in its first segments."""

READERS = 16
"""Number of objects that are read concurrently. S3 answers in tens of milliseconds."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts in a file's header.

    Attributes:
        size_bytes: Size of the file.
        format: JPEG, PNG, or another; ``None`` if it isn't an image.
        size_px: Width and height as displayed.
    """

    size_bytes: int
    format: str | None
    size_px: tuple[int, int]


Read = Callable[[TrainingImage], Facts]
"""Reads an image's header.

Raises:
    OSError: It is missing or can't be read. The message names it.
"""


def reader(s3: "S3Client") -> Read:
    """Return a function that reads headers of files and of objects in S3."""
    from botocore.exceptions import BotoCoreError, ClientError

    def read(image: TrainingImage) -> Facts:
        if image.path is not None:
            with image.path.open("rb") as file:
                return facts(file.read(HEADER_BYTES), image.path.stat().st_size)
        try:
            answer = s3.get_object(
                Bucket=image.bucket, Key=image.key, Range=f"bytes=0-{HEADER_BYTES - 1}"
            )
            header = answer["Body"].read()
        except ClientError as error:
            raise OSError(error.response.get("Error", {}).get("Code", "refused")) from error
        except BotoCoreError as error:
            raise OSError(str(error)) from error
        return facts(header, int(answer["ContentRange"].rpartition("/")[2]))

    return read


def facts(header: bytes, size_bytes: int) -> Facts:
    """Return the facts in a file's first bytes."""
    from PIL import Image as PillowImage

    from retinue_cli.data.export.sizes import size_of

    size_px = size_of(header)
    if size_px is None:
        return Facts(size_bytes, None, (0, 0))
    with PillowImage.open(BytesIO(header)) as file:
        return Facts(size_bytes, file.format, size_px)


def check(
    learned: Sequence[TrainingImage],
    tested: Sequence[TrainingImage] | None,
    read: Read,
    problems: Problems,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Check the training images, and store each image's actual size.

    Args:
        learned: The images to learn from. Their ``size_px`` is set.
        tested: The images to test with, which are treated alike; ``None`` if Custom Labels takes
            a fifth of ``learned``.
        read: Reads headers.
        problems: Collects everything that Custom Labels would refuse, or learn wrongly.
        advance: Called for each image.
    """
    images = [*learned, *(tested or ())]
    boxes = has_boxes(images)
    _labels(learned, boxes, problems)
    if tested is None and len(learned) < 2:
        problems.add("data set too small to be parted for training and test", len(learned))
    for part in (learned, tested or ()):
        _part(part, problems)
    if tested is not None:
        _overlap(learned, tested, problems)
    with ThreadPoolExecutor(READERS, thread_name_prefix="check") as readers:
        for image, told in zip(
            images, readers.map(lambda one: _try(read, one), images), strict=True
        ):
            advance(1)
            if isinstance(told, OSError):
                problems.add("image that cannot be read", f"{image.uri} ({told})")
            else:
                _image(image, told, problems)
    for image in images:
        _items(image, boxes, problems)


def advice(images: Sequence[TrainingImage]) -> list[str]:
    """Return warnings about allowed data that trains a poor model."""
    found = []
    if len(images) < limits.ADVISED_IMAGES:
        found.append(
            f"{count(len(images), 'image')} only: AWS advises at least {limits.ADVISED_IMAGES}"
        )
    number = Counter(label for image in images for label in labels_of([image]))
    rare = sorted(label for label, images_of in number.items() if images_of < 2)
    if rare:
        found.append(
            f"in one image only, so they cannot be both learned and tested: {', '.join(rare[:10])}"
            + (f" and {len(rare) - 10} more" if len(rare) > 10 else "")
        )
    empty = sum(not image.items for image in images)
    if empty:
        found.append(f"{count(empty, 'image')} without a label")
    return found


def _try(read: Read, image: TrainingImage) -> Facts | OSError:
    try:
        return read(image)
    except OSError as error:
        return error


def _labels(images: Sequence[TrainingImage], boxes: bool, problems: Problems) -> None:
    labels = labels_of(images)
    least = 1 if boxes else limits.MIN_LABELS_OF_IMAGES
    if len(labels) < least:
        problems.add(f"data set with fewer than {least} labels", f"{len(labels)}")
    if len(labels) > limits.MAX_LABELS:
        problems.add(f"data set with more than {limits.MAX_LABELS} labels", f"{len(labels):,}")


def _overlap(
    learned: Sequence[TrainingImage], tested: Sequence[TrainingImage], problems: Problems
) -> None:
    labels, found = labels_of(learned), labels_of(tested)
    if not covers(found, labels):
        problems.add(
            f"test images with fewer than {limits.MIN_LABEL_OVERLAP:.0%} of the labels",
            f"{len(found & labels):,} of {len(labels):,} labels in {count(len(tested), 'image')}",
        )
    for uri in sorted({one.uri for one in learned} & {one.uri for one in tested}):
        problems.add("image that is both learned from and tested with", uri)


def _part(images: Sequence[TrainingImage], problems: Problems) -> None:
    for image in images:
        if image.bucket != images[0].bucket:
            problems.add(f"image outside {images[0].bucket}, the others' bucket", image.uri)
    if len(images) > limits.MAX_IMAGES:
        problems.add(f"data set with more than {limits.MAX_IMAGES:,} images", f"{len(images):,}")
    for uri, times in Counter(image.uri for image in images).items():
        if times > 1:
            problems.add("image that is there more than once", uri)


def _image(image: TrainingImage, told: Facts, problems: Problems) -> None:
    if told.format not in limits.FORMATS:
        problems.add("image that is neither JPEG nor PNG", f"{image.uri} ({told.format})")
        return
    width, height = told.size_px
    shown = f"{image.uri} ({width} × {height} px)"
    if min(width, height) < limits.MIN_SIDE_PX:
        problems.add(f"image with a side shorter than {limits.MIN_SIDE_PX} px", shown)
    if max(width, height) > limits.MAX_SIDE_PX:
        problems.add(f"image with a side longer than {limits.MAX_SIDE_PX:,} px", shown)
    if max(width, height) > limits.MAX_ASPECT_RATIO * min(width, height):
        problems.add(f"image longer than {limits.MAX_ASPECT_RATIO} times its width", shown)
    if told.size_bytes > limits.MAX_IMAGE_BYTES:
        problems.add("image larger than 15 MB", f"{image.uri} ({told.size_bytes:,} bytes)")
    if image.size_px is not None and image.size_px != told.size_px:
        problems.add(
            "image whose size differs from its annotations",
            f"{shown}, said to be {image.size_px[0]} × {image.size_px[1]}",
        )
    image.size_px = told.size_px


def _items(image: TrainingImage, boxes: bool, problems: Problems) -> None:
    labels = labels_of([image])
    for label in labels:
        if not label.strip() or len(label) > 255 or not label.isprintable():
            problems.add("label that isn't a printable text of 1 to 255 characters", image.uri)
    if len(labels) > limits.MAX_LABELS_OF_IMAGE:
        problems.add(f"image with more than {limits.MAX_LABELS_OF_IMAGE} labels", image.uri)
    if not boxes:
        if not labels:
            problems.add("image without a label", image.uri)
        return
    if len(image.items) > limits.MAX_BOXES_OF_IMAGE:
        problems.add(f"image with more than {limits.MAX_BOXES_OF_IMAGE} boxes", image.uri)
    for label, box, _ in image.items:
        if box is None:
            problems.add("label without a box among labels with boxes", f"{image.uri}: {label}")
        elif image.size_px is not None:
            left, top, right, bottom = whole_px(box)
            where = f"{image.uri}: {label} {list(box)}"
            # A box may exceed the border by a pixel, because annotation tools round. Cut it.
            if min(box[:2]) < -1 or right > image.size_px[0] + 1 or bottom > image.size_px[1] + 1:
                problems.add("box outside its image", where)
            elif min(right, image.size_px[0]) <= left or min(bottom, image.size_px[1]) <= top:
                problems.add("box smaller than a pixel", where)
