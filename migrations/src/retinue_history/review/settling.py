"""Settle an image from what people said of it: match, vote, and take the middle.

A thing that a person accepted in the findings of several detectors counts once. Things that people
marked are grouped: decisions about the same shown finding first, then boxes by their overlap,
greedily. In each group each person votes for a label, or for nothing: by rejecting it, or by not
marking it in an exhaustive answer whose scope covers it. A label with more than half of the votes
wins, with the median of its boxes. If nothing has more than half of the votes, the image is
disputed.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations, islice
from statistics import median
from typing import Any, Literal, TypeAlias

from retinue_history.recording.records import Box
from retinue_history.review.answer import AnswerItem
from retinue_history.review.matching import MIN_IOU, iou, match
from retinue_history.review.truth import MadeBy, Scope, TruthItem

State: TypeAlias = Literal["open", "settled", "disputed"]


@dataclass(frozen=True, slots=True)
class Statement:
    """The parts of a person's answer that settling needs.

    Attributes:
        person: The person's login.
        items: Decisions about things.
        exhaustive: Whether everything within the scope is marked.
        scope: Labels that the person looked for.
        adjudicates: Whether it settles the image alone.
        bulk: Whether it is part of a decision about many images.
    """

    person: str
    items: tuple[AnswerItem, ...]
    exhaustive: bool
    scope: Scope
    adjudicates: bool = False
    bulk: bool = False


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Too few answers, or people disagree.

    Attributes:
        state: open if more answers are wanted; disputed if an adjudicator is to settle it.
        wanted: Number of answers that are wanted in all.
    """

    state: Literal["open", "disputed"]
    wanted: int


@dataclass(frozen=True, slots=True)
class Settled:
    """People agree.

    Attributes:
        wanted: Number of answers that were wanted.
        items: Things that are in the image, and things that aren't.
        scope: Labels that all people looked for.
        exhaustive: Whether everything within the scope is among the items.
        made_by: people, or bulk if a decision about many images is part of it.
    """

    wanted: int
    items: tuple[TruthItem, ...]
    scope: Scope
    exhaustive: bool
    made_by: MadeBy
    state: Literal["settled"] = "settled"

    def as_json(self) -> dict[str, Any]:
        """Return it as the JSON that the database's functions take."""
        return {
            **self.scope.as_json(),
            "exhaustive": self.exhaustive,
            "made_by": self.made_by,
            "items": [item.as_json() for item in self.items],
        }


@dataclass(frozen=True, slots=True)
class Mark:
    """A person's decision about a thing."""

    person: str
    item: AnswerItem

    @property
    def shown(self) -> int | None:
        """Return the finding that it is about."""
        return None if self.item.shown is None else self.item.shown.detection_id

    @property
    def order(self) -> tuple[Any, ...]:
        """Return a key that orders marks, so that the order of answers does not matter."""
        item = self.item
        return (
            item.kind, item.label, item.box or (), item.decision, self.shown or 0, self.person
        )  # fmt: skip


def settle_answers(statements: Sequence[Statement], overlap: int) -> Settled | Unsettled:
    """Settle an image, or return the missing condition.

    Args:
        statements: One statement of each person, in any order. Of adjudicators, the last one
            counts.
        overlap: Number of people who answer. If they disagree, one more is asked.
    """
    deciding = [one for one in statements if one.adjudicates]
    if deciding:
        return agree(deciding[-1:], overlap) or Unsettled("disputed", overlap + 1)
    if len(statements) < overlap:
        return Unsettled("open", overlap)
    agreed = agree(statements, overlap)
    if agreed is not None:
        return agreed
    wanted = overlap + 1
    return Unsettled("open" if len(statements) < wanted else "disputed", wanted)


def agree(statements: Sequence[Statement], wanted: int) -> Settled | None:
    """Return the majority's decision about each thing; ``None`` if there is no majority."""
    statements = [replace(one, items=each_once(one.items)) for one in statements]
    scope = reduce(Scope.intersection, (one.scope for one in statements))
    exhaustive = all(one.exhaustive for one in statements)
    items: list[TruthItem] = []
    for group in group_marks(statements):
        votes = votes_on(group, statements)
        if not votes:  # all are unsure
            exhaustive = False
            continue
        label, number = max(votes.items(), key=lambda vote: (vote[1], vote[0] is None, vote[0]))
        if number * 2 <= votes.total():
            return None
        if label is not None or any(mark.item.decision == "reject" for mark in group):
            items.append(_item(group, label))
    return Settled(
        wanted,
        tuple(sorted(items, key=lambda one: (one.kind, one.label, one.box or (), one.present))),
        scope,
        exhaustive,
        "bulk" if any(one.bulk for one in statements) else "people",
    )


def each_once(items: Sequence[AnswerItem]) -> tuple[AnswerItem, ...]:
    """Leave out what a person accepted in a finding of another run, too.

    Of the findings of one thing, one with another label or box is kept, else that of the newest
    run. Things of the same run, and those that the person added, are all kept.
    """
    by_run: dict[int, list[AnswerItem]] = {}
    for item in items:
        if item.shown is not None and item.decision in ("accept", "change"):
            by_run.setdefault(item.shown.run_id, []).append(item)
    kept: list[AnswerItem] = []
    dropped: set[int] = set()
    for run_id in sorted(by_run, reverse=True):
        of_run = by_run[run_id]
        before = {there: here for here, there in match(kept, of_run)}
        for place, item in enumerate(of_run):
            if place not in before:
                kept.append(item)
            elif item.decision == "change" and kept[before[place]].decision == "accept":
                dropped.add(id(kept[before[place]]))
                kept[before[place]] = item
            else:
                dropped.add(id(item))
    return tuple(item for item in items if id(item) not in dropped)


def group_marks(statements: Sequence[Statement]) -> list[list[Mark]]:
    """Group decisions about the same thing; a group has one of a person at most."""
    marks = sorted(
        (Mark(one.person, item) for one in statements for item in one.items),
        key=lambda mark: mark.order,
    )
    groups = {place: [place] for place in range(len(marks))}
    group_of = list(range(len(marks)))

    def join(a: int, b: int) -> None:
        one, other = sorted((group_of[a], group_of[b]))
        both = groups[one] + groups[other]
        if one != other and len({marks[place].person for place in both}) == len(both):
            groups[one] = both
            for place in groups.pop(other):
                group_of[place] = one

    first_shown: dict[int, int] = {}
    for place, mark in enumerate(marks):
        if mark.shown is not None:
            join(first_shown.setdefault(mark.shown, place), place)
    for _, a, b in sorted(_alike(marks)):
        join(a, b)
    return [[marks[place] for place in sorted(group)] for group in groups.values()]


def _alike(marks: Sequence[Mark]) -> Iterator[tuple[float, int, int]]:
    """Yield pairs of marks that can mean the same thing, with their overlap negated.

    Without boxes, the label alone decides. Boxes are met from left to right, each with those that
    begin before its right edge: most of 500 never meet.
    """
    boxes: list[tuple[float, float, int]] = []
    whole: dict[tuple[str, str], list[int]] = {}
    for place, mark in enumerate(marks):
        if mark.item.box is None:
            whole.setdefault((mark.item.kind, mark.item.label), []).append(place)
        else:
            left, _, width, _ = mark.item.box
            boxes.append((left, left + width, place))
    for same in whole.values():
        yield from ((-1.0, a, b) for a, b in combinations(same, 2))
    boxes.sort()
    for number, (_, right, one) in enumerate(boxes):
        for left, _, other in islice(boxes, number + 1, None):
            if left > right:
                break
            a, b = sorted((one, other))
            if marks[a].person == marks[b].person or marks[a].item.kind != marks[b].item.kind:
                continue
            overlap = iou(marks[a].item.box, marks[b].item.box)
            if overlap >= MIN_IOU:
                yield -overlap, a, b


def votes_on(group: Sequence[Mark], statements: Iterable[Statement]) -> Counter[str | None]:
    """Count the votes about one thing by label; ``None`` means nothing.

    People who are unsure, did not look for it, or did not mark everything have no vote.
    """
    votes: Counter[str | None] = Counter()
    marked = {mark.person for mark in group}
    for mark in group:
        if mark.item.decision == "reject":
            votes[None] += 1
        elif mark.item.decision != "unsure":
            votes[mark.item.label] += 1
    kind, labels = group[0].item.kind, {mark.item.label for mark in group}
    for one in statements:
        if one.person not in marked and one.exhaustive:
            votes[None] += any(one.scope.covers(kind, label) for label in labels)
    return +votes


def _item(group: Sequence[Mark], label: str | None) -> TruthItem:
    """Return the thing that won: with the mean box of the people who voted for it."""
    of_winners = [
        mark.item
        for mark in group
        if (label is None and mark.item.decision == "reject")
        or (mark.item.decision not in ("reject", "unsure") and mark.item.label == label)
    ]
    boxes = [item.box for item in of_winners if item.box is not None]
    attributes = of_winners[0].attributes
    return TruthItem(
        of_winners[0].kind,
        of_winners[0].label if label is None else label,
        _median(boxes) if boxes else None,
        present=label is not None,
        attributes=attributes if all(one.attributes == attributes for one in of_winners) else {},
    )


def _median(boxes: Sequence[Box]) -> Box:
    if all(box == boxes[0] for box in boxes):
        return boxes[0]  # exactly, without the rounding of its right and bottom edges
    left, top, right, bottom = (
        median(edges)
        for edges in zip(
            *((left, top, left + width, top + height) for left, top, width, height in boxes),
            strict=True,
        )
    )
    return left, top, max(right - left, 0.0), max(bottom - top, 0.0)
