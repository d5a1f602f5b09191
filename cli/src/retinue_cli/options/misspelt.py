"""Find names that the history doesn't have, and suggest similar ones."""

from collections.abc import Sequence
from typing import LiteralString

from psycopg import sql
from retinue_history.db.snapshot import Snapshot
from retinue_sdk.plugins.manager import did_you_mean

_DETECTORS = "SELECT DISTINCT detector FROM runs"
_TRUTHS = "SELECT DISTINCT name FROM truths"
_RUNS_OR_TRUTHS = f"{_DETECTORS} UNION {_TRUTHS}"
_LABELS = "SELECT DISTINCT label FROM label_counts_daily"


def misspelt(
    history: Snapshot,
    *,
    detectors: Sequence[str] = (),
    labels: Sequence[str] = (),
    truths: Sequence[str] = (),
) -> list[str]:
    """Return a sentence for each name that the history doesn't have.

    It reads all runs if detectors are named, so call it only after an empty result.
    """
    return [
        *_unknown(history, _RUNS_OR_TRUTHS, detectors, "runs of"),
        *_unknown(history, _TRUTHS, truths, "truth"),
        *_unknown(history, _LABELS, labels, "label"),
    ]


def _unknown(history: Snapshot, query: LiteralString, names: Sequence[str], what: str) -> list[str]:
    if not names:
        return []
    known = {name for (name,) in history.rows(sql.SQL(query))}
    return [
        f"the history has no {what} {name!r}{did_you_mean(name, known)}"
        for name in names
        if name not in known
    ]
