"""Recognise a network's family of object detectors from its outputs."""

from collections.abc import Sequence

from retinue_sdk import ConfigurationError

from retinue_onnx.end_to_end import (
    CountedRows,
    EndToEnd,
    Queries,
    Reader,
    batch_of_rows,
    numbered_rows,
)
from retinue_onnx.layout import Layout
from retinue_onnx.nanodet import NanoDet, grids
from retinue_onnx.options import Resize
from retinue_onnx.session import Array, OnnxSession

DYNAMIC_SIDE_PX = 640
"""Side of the canvas in pixels if neither the network nor the user sets it: the training size of
YOLO and RT-DETR.
"""

UNDERSTOOD = """\
NanoDet heads: for each stride (N, cells, classes) and (N, cells, 4 × bins);
NanoDet in one output: (N, cells, classes + 4 × bins);
RT-DETR: labels (N, Q), boxes (N, Q, 4), scores (N, Q);
YOLO with NMS: (N, M, 6) rows of left, top, right, bottom, score, class;
YOLOv7 end2end: (M, 7) rows of image, left, top, right, bottom, class, score;
TensorRT style: num_dets (N, 1), det_boxes (N, M, 4), det_scores (N, M), det_classes (N, M)"""


def recognised(
    session: OnnxSession, *, classes: int, resize: Resize | None = None, side_px: int | None = None
) -> Layout:
    """Return the layout of a network, after running it once on a black image.

    Args:
        session: The network.
        classes: Number of labels.
        resize: The user's method, if it differs from the family's.
        side_px: Side of the canvas in pixels, if the network leaves it open.

    Raises:
        ConfigurationError: The outputs aren't supported, or don't match the labels.
    """
    height, width = canvas_size(session, side_px)
    outputs = session.probe(height=height, width=width)
    heads = _nanodet(outputs, height, width, classes)
    if heads is not None and resize is not None:
        raise ConfigurationError(
            "option resize: NanoDet is always letterboxed; leave the option out, or use it with "
            "an end-to-end model"
        )
    if heads is not None:
        return heads
    for name, reader, usual in _end_to_end(session.output_names, outputs):
        return EndToEnd(name, reader, resize or usual, height, width)
    found = "; ".join(
        f"{name} {output.dtype} {output.shape}"
        for name, output in zip(session.output_names, outputs, strict=True)
    )
    raise ConfigurationError(
        f"option model: its outputs are not understood with {classes} labels. Found: {found}.\n"
        f"Understood are:\n{UNDERSTOOD}.\n"
        "Export the model in one of these forms, and set option labels if it has other classes"
    )


def canvas_size(session: OnnxSession, side_px: int | None) -> tuple[int, int]:
    """Return height and width of the canvas in pixels.

    Raises:
        ConfigurationError: The user's size differs from the network's.
    """
    size = session.height or side_px or DYNAMIC_SIDE_PX, session.width or side_px or DYNAMIC_SIDE_PX
    if side_px is not None and size != (side_px, side_px):
        raise ConfigurationError(
            f"option input_side_px: the model only takes {size[1]} × {size[0]} pixels, "
            f"not {side_px}; leave the option out"
        )
    return size


def _nanodet(outputs: Sequence[Array], height: int, width: int, classes: int) -> NanoDet | None:
    if any(output.ndim != 3 or output.dtype.kind != "f" for output in outputs):
        return None
    for plus in (False, True):
        levels = grids(height, width, plus=plus)
        bins_width = outputs[0].shape[2] - classes
        if (
            len(outputs) == 1
            and outputs[0].shape[1] == sum(grid.cells for grid in levels)
            and _are_bins(bins_width)
        ):
            return NanoDet(height, width, levels, classes)
        heads = []
        for grid in levels:
            pair = [i for i, output in enumerate(outputs) if output.shape[1] == grid.cells]
            scores = [i for i in pair if outputs[i].shape[2] == classes]
            bins = [i for i in pair if i not in scores[:1] and _are_bins(outputs[i].shape[2])]
            if scores and len(pair) == 2 and len(bins) == 1:
                heads.append((scores[0], bins[0]))
        if len(heads) == len(levels) and len(outputs) == 2 * len(levels):
            return NanoDet(height, width, levels, classes, tuple(heads))
    return None


def _are_bins(width: int) -> bool:
    """Return whether this many numbers can be four distributions of two bins or more."""
    return width >= 8 and width % 4 == 0


def _end_to_end(names: Sequence[str], outputs: Sequence[Array]) -> list[tuple[str, Reader, Resize]]:
    shapes = [output.shape for output in outputs]
    if len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][2] == 6:
        return [("rows", batch_of_rows, "letterbox")]
    if len(shapes) == 1 and len(shapes[0]) == 2 and shapes[0][1] == 7:
        return [("numbered-rows", numbered_rows, "letterbox")]
    at = {name: index for index, name in enumerate(names)}
    counted = ("num_dets", "det_boxes", "det_scores", "det_classes")
    if set(at) == set(counted):
        number, boxes, scores, labels = (at[name] for name in counted)
        if _fit(outputs, boxes, scores, labels):
            order = (number, boxes, scores, labels)
            return [("counted-rows", CountedRows(order), "letterbox")]
    if set(at) == {"labels", "boxes", "scores"}:
        labels, boxes, scores = at["labels"], at["boxes"], at["scores"]
        if _fit(outputs, boxes, scores, labels):
            return [("queries", Queries((labels, boxes, scores)), "stretch")]
    return []


def _fit(outputs: Sequence[Array], boxes: int, scores: int, labels: int) -> bool:
    """Return whether numbers of boxes, scores and labels are equal, with four numbers per box."""
    shape = outputs[scores].shape
    return (
        len(shape) == 2 and outputs[labels].shape == shape and outputs[boxes].shape == (*shape, 4)
    )
