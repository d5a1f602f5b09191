"""Keep in a file the parts of a truth for which its format has no place."""

from typing import Any

from retinue_history.review.truth import MadeBy, Scope, TruthItem

from retinue_cli.data.ground_truth.annotation import AnnotatedImage, is_text
from retinue_cli.data.ground_truth.problems import Problems

_MADE_BY: dict[str, MadeBy] = {"people": "people", "bulk": "bulk", "machine": "machine"}


def read_sidecar(image: AnnotatedImage, given: Any, number: object, problems: Problems) -> None:
    """Read ``retinue_truth`` of an exported image: scope, ``exhaustive``, and things not there."""
    if given is None:
        return
    try:
        image.scope = Scope.of_row(_texts(given["scope_kinds"]), _texts(given["scope_labels"]))
        image.exhaustive = bool(given["exhaustive"])
        image.made_by = _MADE_BY[given["made_by"]]
        image.others = [_item(one) for one in given["items"]]
    except (AttributeError, KeyError, TypeError, ValueError):
        problems.add("image whose retinue_truth can't be read", number)


def _texts(given: Any) -> list[str] | None:
    if given is not None and not all(is_text(one) for one in given):
        raise ValueError("a scope is a list of texts")
    return None if given is None else list(given)


def _item(given: Any) -> TruthItem:
    if not (is_text(given["kind"]) and is_text(given["label"])):
        raise ValueError("kind and label are texts")
    box = None
    if given["box"] is not None:
        left, top, width, height = map(float, given["box"])
        box = left, top, width, height
    return TruthItem(
        given["kind"],
        given["label"],
        box,
        bool(given["present"]),
        float(given["confidence"]),
        dict(given["attributes"]),
    )
