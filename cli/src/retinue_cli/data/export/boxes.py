"""Boxes in pixels, for COCO and CVAT."""

from retinue_sdk import BoundingBox

from retinue_cli.data.export.sizes import SizePx


def visible_px(box: BoundingBox, size_px: SizePx) -> list[float] | None:
    """Return left, top, width and height of a box's visible part in pixels, if any."""
    visible = box.clipped()
    if visible.area <= 0:
        return None
    width, height = size_px
    # A thousandth of a pixel is finer than any detector, and avoids 64.00000000000001.
    return [
        round(visible.left * width, 3),
        round(visible.top * height, 3),
        round(visible.width * width, 3),
        round(visible.height * height, 3),
    ]
