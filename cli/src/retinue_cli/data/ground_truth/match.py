"""Match images of a file with images of the history."""

from dataclasses import dataclass
from uuid import UUID

from retinue_history.analysis.ground_truth import KnownImage, images_by_id, images_by_name
from sqlalchemy import Engine

from retinue_cli.data.ground_truth.annotation import AnnotatedImage, inside
from retinue_cli.data.ground_truth.annotations import Annotations
from retinue_cli.data.ground_truth.problems import Problems


@dataclass(frozen=True, slots=True)
class Matched:
    """An image of the file that is in the history.

    Attributes:
        image: The image in the file.
        image_id: The id in the history.
        size_px: Width and height, from the file or the history.
    """

    image: AnnotatedImage
    image_id: UUID
    size_px: tuple[int, int] | None


def match(
    engine: Engine,
    annotations: Annotations,
    problems: Problems,
    *,
    bucket: str | None = None,
    skip_unknown: bool = False,
) -> tuple[list[Matched], int]:
    """Match a file's images by id, by S3 URI, by key or by the end of a key.

    Args:
        engine: The history.
        annotations: The file.
        problems: Collects images that are unknown, ambiguous, twice in the file or of another size,
            and boxes outside an image whose size only the history has.
        bucket: Search only this bucket.
        skip_unknown: Skip images that aren't in the history.

    Returns:
        The matches, and the number of skipped images.

    Raises:
        HistoryUnavailableError: The database doesn't answer.
    """
    by_id = images_by_id(engine, [one.image_id for one in annotations.images if one.image_id])
    names = {name for one in annotations.images for name in (one.uri, one.name) if name}
    by_name = images_by_name(engine, sorted(names), bucket=bucket)
    found: dict[UUID, Matched] = {}
    skipped = 0
    for image in annotations.images:
        if not image.name:
            continue  # reported already
        candidates = _candidates(image, by_id, by_name)
        if not candidates and skip_unknown:
            skipped += 1
        elif not candidates:
            problems.add("image that is not in the history", image.name)
        elif len(candidates) > 1:
            keys = " and ".join(f"s3://{one.bucket}/{one.key}" for one in candidates[:2])
            problems.add("image whose name fits several", f"{image.name} ({keys})")
        elif candidates[0].image_id in found:
            problems.add("image that is in the file twice", image.name)
        else:
            [known] = candidates
            size_px = _size(image, known, problems)
            found[known.image_id] = Matched(image, known.image_id, size_px)
    return list(found.values()), skipped


def _candidates(
    image: AnnotatedImage,
    by_id: dict[UUID, KnownImage],
    by_name: dict[str, list[KnownImage]],
) -> list[KnownImage]:
    """Return the possible images. The most reliable method with a result decides."""
    if image.image_id in by_id:
        return [by_id[image.image_id]]
    for name in (image.uri, image.name):
        candidates = by_name.get(name or "", [])
        exact = [one for one in candidates if one.key == name]
        if candidates:
            return exact or candidates
    return []


def _size(image: AnnotatedImage, known: KnownImage, problems: Problems) -> tuple[int, int] | None:
    if known.width_px is None or known.height_px is None:
        if image.size_px is None and any(one.bbox_px for one in image.annotations):
            problems.add("image whose size neither the file nor the history knows", image.name)
        return image.size_px
    size_px = known.width_px, known.height_px
    if image.size_px is None:
        for annotation in image.annotations:
            if annotation.bbox_px and not inside(annotation.bbox_px, size_px):
                problems.add(
                    "box outside its image",
                    f"annotation {annotation.number}: {list(annotation.bbox_px)}",
                )
    elif image.size_px != size_px:
        problems.add(
            "image whose size is another in the history",
            f"{image.name} ({image.size_px[0]} × {image.size_px[1]} px in the file, "
            f"{size_px[0]} × {size_px[1]} px in the history)",
        )
    return size_px
