"""Labels and preprocessing in the files beside a model of Hugging Face's exporter.

``optimum-cli export onnx`` writes ``preprocessor_config.json``, the settings of an image processor
(https://huggingface.co/docs/transformers/main_classes/image_processor), and ``config.json`` with
labels and the type of the model beside ``model.onnx``.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from retinue_sdk import ConfigurationError

from retinue_onnx.class_names import Names
from retinue_onnx.options import Channels, PerChannel

PREPROCESSING, CONFIG = "preprocessor_config.json", "config.json"

LAYOUTS: Mapping[str, str] = {
    "detr": "detr",
    "yolos": "detr",
    "table-transformer": "detr",
    "rt_detr": "rt-detr-logits",
    "rt_detr_v2": "rt-detr-logits",
    "d_fine": "rt-detr-logits",
    "conditional_detr": "deformable-detr",
    "deformable_detr": "deformable-detr",
}
"""The value of the option ``layout`` for each ``model_type`` of ``config.json``."""

_SENSELESS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""Errors of reading a file whose contents have another form."""

WARPED_PX = 384
"""ConvNeXT stretches images for networks of this size or more, instead of cropping them."""


RESCALE_ONLY = "MobileViT"
"""The image processor that never normalises pixels, and therefore doesn't save ``do_normalize``."""


@dataclass(frozen=True, slots=True)
class Export:
    """The settings in the files, under the names of the options; ``None`` for missing ones.

    Attributes:
        resize: How images are resized.
        crop: The part of the shorter side that remains with ``crop``.
        channels: The order of the channels.
        mean: Mean of each channel, 0 to 1, red first.
        std: Standard deviation of each channel, 0 to 1, red first.
        input_side_px: Side of the square input, in pixels.
        labels: The names of the classes, ordered by id.
        layout: The format of a detector's outputs.
    """

    resize: Literal["crop", "stretch"] | None = None
    crop: float | None = None
    channels: Channels | None = None
    mean: PerChannel | None = None
    std: PerChannel | None = None
    input_side_px: int | None = None
    labels: Names | None = None
    layout: str | None = None

    def side_px(self, height: int | None, width: int | None) -> int | None:
        """Return the side of the input in pixels, if the network leaves its size open."""
        return self.input_side_px if None in (height, width) else None

    def fingerprint(self) -> str:
        """Return the preprocessing as text; an empty one if there is none."""
        said = {name: value for name, value in asdict(self).items() if value is not None}
        said.pop("labels", None)  # they are part of it elsewhere
        return json.dumps(said) if said else ""


def export_beside(model: Path | str | None) -> Export:
    """Return the settings in the files beside a model.

    Args:
        model: The option: a path, a file in S3, or ``None`` for the bundled model. Only a path has
            files beside it.

    Raises:
        ConfigurationError: The settings can't be read.
    """
    if not isinstance(model, Path):
        return Export()
    settings, config = model.with_name(PREPROCESSING), _config(model.with_name(CONFIG))
    labels, layout = _labels(config), LAYOUTS.get(str(config.get("model_type")))
    try:
        if not settings.is_file():
            return Export(labels=labels, layout=layout)
        export = _export(json.loads(settings.read_text(encoding="utf-8")))
        return replace(export, labels=labels, layout=layout)
    except (OSError, *_SENSELESS) as error:
        raise ConfigurationError(
            f"option model: {settings}, which is beside the model, can't be read ({error!r:.200}); "
            "correct it, or remove it and set the options of the preprocessing"
        ) from error


def _config(path: Path) -> Mapping[str, Any]:
    """Return the contents of ``config.json``; none of a file of another program."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, *_SENSELESS):
        return {}
    return config if isinstance(config, dict) else {}


def _labels(config: Mapping[str, Any]) -> Names | None:
    """Return the labels, unless they are numbers."""
    try:
        by_id = config["id2label"]
        names = tuple(str(by_id[str(index)]).strip() for index in range(len(by_id)))
    except _SENSELESS:
        return None
    is_named = all(names) and not all(re.fullmatch(r"LABEL_\d+", name) for name in names)
    return names if names and is_named else None


def _export(settings: Mapping[str, Any]) -> Export:
    resize, crop, side_px = _resizing(settings)
    mean, std = _scale(settings)
    return Export(
        resize=resize,
        crop=crop,
        channels="bgr" if settings.get("do_flip_channel_order") else None,
        mean=mean,
        std=std,
        input_side_px=side_px,
    )


def _resizing(
    settings: Mapping[str, Any],
) -> tuple[Literal["crop", "stretch"] | None, float | None, int | None]:
    """Return the way of resizing, the part that remains, and the side of the input in pixels."""
    size = settings.get("size")
    if not settings.get("do_resize", True) or size is None:
        return None, None, None
    cropped = _square(settings.get("crop_size")) if settings.get("do_center_crop") else None
    if isinstance(size, Mapping) and "shortest_edge" in size:
        shortest, part = int(size["shortest_edge"]), settings.get("crop_pct")
        if cropped is not None:
            return "crop", min(cropped / shortest, 1.0), cropped
        if part is not None and shortest < WARPED_PX:
            return "crop", float(part), shortest
        return ("stretch", None, shortest) if part is not None else (None, None, None)
    # With one number, some processors keep the proportions and then cut the centre out.
    is_plain = not settings.get("do_center_crop") and not settings.get("crop_pct")
    return ("stretch", None, _square(size)) if is_plain else (None, None, None)


def _square(size: Any) -> int | None:
    """Return the side of a square, in pixels; ``None`` for other sizes."""
    if isinstance(size, Mapping):
        sides = {int(size["height"]), int(size["width"])} if "height" in size else set()
        return sides.pop() if len(sides) == 1 else None
    return None if size is None else int(size)


def _scale(settings: Mapping[str, Any]) -> tuple[PerChannel, PerChannel] | tuple[None, None]:
    """Return mean and standard deviation, for pixels from 0 to 1."""
    rescales, normalises = settings.get("do_rescale", True), settings.get("do_normalize")
    if str(settings.get("image_processor_type")).startswith(RESCALE_ONLY):
        normalises = False
    if normalises is None:
        return None, None
    factor = float(settings.get("rescale_factor", 1 / 255)) if rescales else 1.0
    offset = 1.0 if rescales and settings.get("rescale_offset") else 0.0
    mean = _three(settings["image_mean"]) if normalises else (0.0, 0.0, 0.0)
    std = _three(settings["image_std"]) if normalises else (1.0, 1.0, 1.0)
    red, green, blue = ((value + offset) / factor / 255 for value in mean)
    wide = tuple(value / factor / 255 for value in std)
    if min(wide) <= 0:
        raise ValueError("a standard deviation isn't above 0")
    return (red, green, blue), (wide[0], wide[1], wide[2])


def _three(values: Any) -> PerChannel:
    red, green, blue = values if isinstance(values, list) else [values] * 3
    return float(red), float(green), float(blue)
