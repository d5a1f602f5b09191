"""Names of an object detector's classes."""

import ast
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from retinue_sdk import ConfigurationError

Names = tuple[str, ...]

_UNUSED_COCO_IDS = {0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
"""Category ids of COCO below 91 without a category."""


def coco_names() -> Names:
    """Return the 80 categories of COCO 2017, ordered by id (https://cocodataset.org)."""
    text = (resources.files("retinue_onnx") / "labels" / "coco.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def coco_id_names() -> Names:
    """Return a name for each category id of COCO from 0 to 90; ``N/A`` for unused ids."""
    names = iter(coco_names())
    return tuple("N/A" if index in _UNUSED_COCO_IDS else next(names) for index in range(91))


def chosen_names(labels: Path | Names) -> Names:
    """Return the names of the option: those of a file, or the names themselves.

    A file has one name per line, or is the ``config.json`` that Hugging Face's exporter writes
    beside a model (``id2label``, https://huggingface.co/docs/transformers/main_classes/configuration).

    Raises:
        ConfigurationError: The file can't be read, or a name is missing.
    """
    names = labels
    if isinstance(names, Path):
        try:
            text = names.read_text(encoding="utf-8-sig")
            if names.suffix == ".json":
                by_id = json.loads(text)["id2label"]
                names = tuple(str(by_id[str(index)]) for index in range(len(by_id)))
            else:
                names = tuple(text.rstrip().splitlines())
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise ConfigurationError(
                f"option labels: {labels} cannot be read ({error!r:.200}); give a UTF-8 text file "
                "with one label a line, a config.json with id2label, or a list of labels"
            ) from error
    names = tuple(name.strip() for name in names)
    if not names or not all(names):
        raise ConfigurationError(
            "option labels: there is an empty label, or none at all; "
            "give one name for each class of the model, in the order of its class ids"
        )
    return names


def names_in_metadata(metadata: Mapping[str, str]) -> Names | None:
    """Return the names in a model's metadata; ``None`` if its exporter wrote none.

    Ultralytics' exporters write ``names`` as a Python dictionary, ``{0: 'person', …}``
    (https://docs.ultralytics.com/modes/export), and others as one of JSON, whose keys are texts.

    Raises:
        ConfigurationError: The names can't be read.
    """
    text = metadata.get("names")
    if text is None:
        return None
    try:
        names = ast.literal_eval(text)
        if isinstance(names, dict):
            names = {int(index): name for index, name in names.items()}
        return tuple(str(names[index]) for index in range(len(names))) or None
    except (KeyError, ValueError, SyntaxError, TypeError, IndexError, RecursionError, MemoryError):
        raise ConfigurationError(
            f"option labels: the file's metadata has labels that can't be read: names={text:.80}; "
            "set the option, with one label for each class in the order of the class ids"
        ) from None


def fingerprint_with(fingerprint: str, labels: Names | None, preprocessing: str = "") -> str:
    """Return the fingerprint of a model together with its labels and preprocessing.

    Args:
        fingerprint: That of the model.
        labels: Those that the user sets, or the files beside the model.
        preprocessing: That of the files beside the model.
    """
    names = "" if labels is None else json.dumps(labels)
    return hashlib.sha256(f"{fingerprint}\n{names}{preprocessing}".encode()).hexdigest()
