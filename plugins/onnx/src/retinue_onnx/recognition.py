"""Choose the reader of a network by the names and shapes of its outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from retinue_sdk import ConfigurationError, Image, Pixels

from retinue_onnx.candidates import Candidates
from retinue_onnx.class_names import Names, coco_id_names, coco_names, names_in_metadata
from retinue_onnx.letterbox import Placement
from retinue_onnx.preprocessing import Choices, Preprocessing
from retinue_onnx.readers.detr import (
    DeformableDetr,
    Detr,
    RfDetr,
    RtDetrLogits,
    UltralyticsRtDetr,
)
from retinue_onnx.readers.end_to_end import CountedRows, NumberedRows, Queries, Rows
from retinue_onnx.readers.mmdeploy import MmDeploy
from retinue_onnx.readers.nanodet import NanoDet, NanoDetPlus, PicoDet
from retinue_onnx.readers.reader import Probe, Reader
from retinue_onnx.readers.tensorflow import TensorFlow
from retinue_onnx.readers.torchvision import Torchvision
from retinue_onnx.readers.yolo import (
    Ultralytics,
    UltralyticsSegments,
    YoloV5,
    YoloV6,
    YoloX,
    YoloXDecoded,
)
from retinue_onnx.readers.yolo_nas import YoloNas, YoloNasBatch, YoloNasFlat
from retinue_onnx.session import (
    Array,
    OnnxSession,
    canvas_size,
    one_image_only,
    remedy_of_failure,
)

READERS: tuple[type[Reader], ...] = (
    NanoDet,
    NanoDetPlus,
    PicoDet,
    YoloX,
    YoloXDecoded,
    YoloV5,
    YoloV6,
    Ultralytics,
    UltralyticsSegments,
    YoloNas,
    YoloNasBatch,
    YoloNasFlat,
    Rows,
    NumberedRows,
    CountedRows,
    Queries,
    Detr,
    RtDetrLogits,
    DeformableDetr,
    RfDetr,
    UltralyticsRtDetr,
    MmDeploy,
    TensorFlow,
    Torchvision,
)

DYNAMIC_SIDE_PX = 640
"""Side of the canvas in pixels if neither the network nor the user sets it: the training size of
YOLO and RT-DETR.
"""

BACKGROUND = ("__background__", "background")
"""Names of class 0 in lists of torchvision and TensorFlow."""

COCO_SIZES = (len(coco_names()), len(coco_id_names()))
"""Numbers of classes for which a model needs no labels."""


@dataclass(frozen=True, slots=True)
class ObjectLayout:
    """A reader with its preprocessing and labels.

    Attributes:
        reader: The reader.
        preprocessing: The preprocessing.
        labels: The labels, in the order of the class ids from ``reader.first_class``.
        height: Height of the canvas, in pixels.
        width: Width of the canvas, in pixels.
        shapes: The outputs' shapes.
    """

    reader: Reader
    preprocessing: Preprocessing
    labels: Names
    height: int
    width: int
    shapes: Sequence[tuple[int, ...]]

    @property
    def name(self) -> str:
        """Return the reader's name."""
        return self.reader.name

    def place(self, image: Image) -> tuple[Pixels, Placement]:
        """Letterbox or stretch the image."""
        return self.preprocessing.place(image, height=self.height, width=self.width)

    def read(self, outputs: Sequence[Array], count: int, threshold: float) -> list[Candidates]:
        """Return the candidates of each image."""
        return [self.reader.read_one(outputs, index, threshold) for index in range(count)]

    def label(self, class_id: int) -> str | None:
        """Return the label of a class; ``None`` without one."""
        number = class_id - self.reader.first_class
        return self.labels[number] if 0 <= number < len(self.labels) else None


def recognised(
    session: OnnxSession,
    choices: Choices,
    *,
    layout: str | None = None,
    likely: str | None = None,
    labels: Names | None = None,
    side_px: int | None = None,
    images: int = 1,
) -> ObjectLayout:
    """Return the layout of a network, after running it once on a black image.

    Args:
        session: The loaded network.
        choices: The preprocessing that the user sets.
        layout: The reader's name, if the user chose it.
        likely: The name of the reader to choose if several understand the outputs.
        labels: The labels that the user or the file gives; ``None`` without any.
        side_px: Side of the canvas in pixels, if the network leaves it open.
        images: Maximum number of images in a batch.

    Raises:
        ConfigurationError: No reader understands the outputs, several do, the labels don't match
            them, or the network can't take batches.
    """
    _check_task(session.metadata)
    height, width = canvas_size(session, side_px, default=DYNAMIC_SIDE_PX)
    outputs = session.probe(height=height, width=width, remedy=remedy_of_failure(session))
    probe = Probe(
        session.output_names,
        outputs,
        height,
        width,
        session.batch or 1,
        labels,
        session.metadata,
    )
    reader = chosen_reader(probe, layout, likely)
    if reader.classes is None:
        _check_number(labels, session.metadata)
    if images > 1 and session.batch is None:
        pair = session.probe_two(height=height, width=width)
        if type(reader).fit(replace(probe, outputs=pair, batch=2)) is None:
            raise one_image_only(_found(replace(probe, outputs=pair)))
    return ObjectLayout(
        reader,
        choices.applied_to(reader.preprocessing, takes_bytes=session.takes_bytes),
        _labels(reader, labels),
        height,
        width,
        [output.shape for output in outputs],
    )


def _check_task(metadata: Mapping[str, str]) -> None:
    """Refuse the models of Ultralytics that find no upright boxes.

    Raises:
        ConfigurationError: The metadata names their task.
    """
    task = metadata.get("task", "detect")
    if task in ("detect", "segment", "pose"):
        return
    remedy = "use onnx-labels" if task == "classify" else "export a model of one of these tasks"
    raise ConfigurationError(
        f"option model: the task in the file's metadata is {task}, and onnx-objects only reads the "
        f"boxes of the tasks detect, segment and pose; {remedy}"
    )


def _check_number(labels: Names | None, metadata: Mapping[str, str]) -> None:
    """Refuse labels whose number differs from that in the metadata, as the outputs don't show it.

    Raises:
        ConfigurationError: The numbers differ.
    """
    try:
        written = names_in_metadata(metadata)
    except ConfigurationError:
        return  # the labels replace them
    if labels is not None and written is not None and len(written) != len(labels):
        raise ConfigurationError(
            f"option labels: the file's metadata has {len(written)} labels ({written[0]} … "
            f"{written[-1]}), but {len(labels)} are given by the option, or config.json; give one "
            "for each, in their order, or leave the option out"
        )


def chosen_reader(probe: Probe, layout: str | None = None, likely: str | None = None) -> Reader:
    """Return the only reader that understands a network's answer.

    Args:
        probe: The answer.
        layout: The reader's name, if the user chose it.
        likely: The name of the reader to choose if several understand the outputs.

    Raises:
        ConfigurationError: No reader understands the outputs, several do, or the number of labels
            differs from that of the classes.
    """
    families = [family for family in READERS if layout in (None, family.name)]
    fitting = [reader for family in families if (reader := family.fit(probe)) is not None]
    sizes = COCO_SIZES if probe.labels is None else (len(probe.labels),)
    agreeing = [reader for reader in fitting if reader.classes in sizes]
    # An answer that doesn't show its number of classes could belong to any number of labels.
    open_ended = [reader for reader in fitting if reader.classes is None]
    if not fitting:
        raise _not_understood(probe, families)
    if agreeing or (probe.labels is not None and open_ended):
        fitting = agreeing + open_ended
    elif not open_ended:
        raise _wrong_labels(probe, fitting)
    if len(fitting) > 1:
        fitting = [reader for reader in fitting if reader.name == likely] or fitting
    if len(fitting) > 1:
        options = "\n".join(f"layout={reader.name}: {reader.outputs}" for reader in fitting)
        raise ConfigurationError(
            f"option layout: several formats have these outputs: {_found(probe)}. Set the option "
            f"to that of your model:\n{options}"
        )
    return fitting[0]


def _found(probe: Probe) -> str:
    return "; ".join(
        f"{name} {output.dtype} {output.shape}"
        for name, output in zip(probe.names, probe.outputs, strict=True)
    )


def _not_understood(probe: Probe, families: Sequence[type[Reader]]) -> ConfigurationError:
    understood = ";\n".join(family.outputs for family in families)
    if len(families) == 1:
        return ConfigurationError(
            f"option layout: the model's outputs are not those of {families[0].name}. Found for "
            f"an input of {probe.width} × {probe.height} pixels: {_found(probe)}. Needed: "
            f"{understood}. Leave the option out, or choose another layout"
        )
    if probe.only(probe.batch, None) is not None:
        return ConfigurationError(
            f"option model: its output looks like a classifier's: {_found(probe)}. Use onnx-labels"
        )
    if probe.only(probe.batch, None, None, None) is not None:
        return ConfigurationError(
            "option model: its output has a number for each pixel, as in semantic segmentation: "
            f"{_found(probe)}. No detector reads that: use a model that finds boxes"
        )
    return ConfigurationError(
        f"option model: its outputs are not understood. Found for an input of {probe.width} × "
        f"{probe.height} pixels: {_found(probe)}.\n"
        f"Understood are:\n{understood}.\n"
        "Export the model in one of these forms, and set option labels if it has other classes "
        "than COCO"
    )


def _wrong_labels(probe: Probe, fitting: Sequence[Reader]) -> ConfigurationError:
    classes = " or ".join(
        dict.fromkeys(f"{reader.classes} classes ({reader.name})" for reader in fitting)
    )
    given = (
        "no labels"
        if probe.labels is None
        else f"{len(probe.labels)} labels (from the option, the file's metadata, or config.json)"
    )
    one_more = None if probe.labels is None else len(probe.labels) + 1
    extra = ""
    if any(isinstance(one, RfDetr) and one.classes == one_more for one in fitting):
        extra = ". RF-DETR often has one column more than classes: add a last label, such as N/A"
    return ConfigurationError(
        f"option labels: the model has {classes}, but there are {given}; give one label for each "
        f"class, in the order of the class ids{extra}. Outputs: {_found(probe)}"
    )


def _labels(reader: Reader, given: Names | None) -> Names:
    """Return the given labels, or COCO's.

    torchvision's lists (``weights.meta["categories"]``) begin with the background, class 0.
    """
    if given is not None:
        return given[1:] if reader.first_class and given[0] in BACKGROUND else given
    if reader.classes == len(coco_id_names()):
        return coco_id_names()
    return coco_id_names()[reader.first_class :] if reader.first_class else coco_names()
