"""Measure how much people agree: pairwise F1, and Krippendorff's alpha, by label and by person.

Alpha is that of Klaus Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011),
https://repository.upenn.edu/asc_papers/43, for nominal data with missing values. The units are the
things that people marked, grouped as ``settling`` groups them, as in Tschirschwitz et al., "Drawing
the Same Bounding Box Twice?" (2022), https://doi.org/10.1109/WACV51458.2022.00183. A person who
looked for a thing and did not mark it has the value "nothing"; one who did not look has none.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias
from uuid import UUID

from retinue_history.db.connections import Connection
from retinue_history.db.error_mapping import map_errors
from retinue_history.review.answer import AnswerItem, item_of_row
from retinue_history.review.matching import match
from retinue_history.review.settling import Statement, group_marks
from retinue_history.review.truth import Scope, TruthItem, truth_of

NOTHING = None
"""The value of a person who rejects a thing."""

Unit: TypeAlias = Mapping[str, str | None]
"""Each person with the label that they give to one thing; others are missing."""


@dataclass(frozen=True, slots=True)
class Score:
    """The agreement about one label, of one person, or of all.

    Attributes:
        things: Number of things that at least two people judged.
        f1: Twice the pairs of matching things over all things, of all pairs of people who answered
            the same image; ``None`` if there are none.
        alpha: Krippendorff's alpha: 1 is perfect, 0 is chance; ``None`` if there are no two people
            or no two different values.
    """

    things: int
    f1: float | None
    alpha: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of a queue.

    Attributes:
        images: Number of images that at least two people answered.
        total: Of all labels and people.
        by_label: Of each label: whether people agree that something is it, or is not.
        by_person: Of each person with the others.
        gold: Each person's F1 against the known truth of gold images, and how many were answered.
    """

    images: int
    total: Score
    by_label: Mapping[str, Score]
    by_person: Mapping[str, Score]
    gold: Mapping[str, tuple[float | None, int]]


def krippendorff_alpha(units: Iterable[Unit]) -> float | None:
    """Return alpha for nominal values.

    Args:
        units: For each unit, the value of each coder that has one.

    Returns:
        ``None`` if no unit has two values, or all values are the same.
    """
    coincidences: Counter[tuple[str | None, str | None]] = Counter()
    for unit in units:
        counts = Counter(unit.values())
        number = counts.total()
        if number < 2:
            continue
        for one, times in counts.items():
            for other, other_times in counts.items():
                pairs = times * (other_times - (one == other))
                coincidences[one, other] += pairs / (number - 1)  # type: ignore[assignment]
    totals: Counter[str | None] = Counter()
    for (one, _), number in coincidences.items():
        totals[one] += number
    everything = totals.total()
    expected = everything**2 - sum(number**2 for number in totals.values())
    if not everything or expected <= 1e-9:
        return None
    observed = sum(number for (one, other), number in coincidences.items() if one != other)
    return 1 - (everything - 1) * observed / expected


def units_of(statements: Sequence[Statement]) -> list[Unit]:
    """Return the things that people marked in one image, with each person's label."""
    units: list[Unit] = []
    for group in group_marks(statements):
        unit: dict[str, str | None] = {}
        unsure = set()
        for mark in group:
            if mark.item.decision == "unsure":
                unsure.add(mark.person)
            else:
                unit[mark.person] = NOTHING if mark.item.decision == "reject" else mark.item.label
        kind, labels = group[0].item.kind, {mark.item.label for mark in group}
        for one in statements:
            looked = one.exhaustive and any(one.scope.covers(kind, label) for label in labels)
            if looked and one.person not in unsure:
                unit.setdefault(one.person, NOTHING)
        units.append(unit)
    return units


@dataclass(slots=True)
class _Pairs:
    """Counts for F1."""

    matched: int = 0
    marked: int = 0

    def add(self, ones: Sequence[TruthItem], others: Sequence[TruthItem], matched: int) -> None:
        self.matched += 2 * matched
        self.marked += len(ones) + len(others)

    @property
    def f1(self) -> float | None:
        return self.matched / self.marked if self.marked else None


def agreement_of(images: Iterable[Sequence[Statement]]) -> Agreement:
    """Return the agreement of people about images that several of them answered."""
    units: list[Unit] = []
    everything = _Pairs()
    by_label: dict[str, _Pairs] = {}
    by_person: dict[str, _Pairs] = {}
    number = 0
    for statements in images:
        if len(statements) < 2:
            continue
        number += 1
        units += units_of(statements)
        for one, other in combinations(statements, 2):
            ones, others = _comparable(one, other), _comparable(other, one)
            pairs = match(ones, others)
            everything.add(ones, others, len(pairs))
            for person in (one.person, other.person):
                by_person.setdefault(person, _Pairs()).add(ones, others, len(pairs))
            for label in {item.label for item in (*ones, *others)}:
                by_label.setdefault(label, _Pairs()).add(
                    [item for item in ones if item.label == label],
                    [item for item in others if item.label == label],
                    sum(ones[a].label == label for a, _ in pairs),
                )
    return Agreement(
        number,
        _score(units, everything),
        {
            label: _score(
                [
                    {who: said if said == label else NOTHING for who, said in unit.items()}
                    for unit in units
                    if label in unit.values()
                ],
                pairs,
            )
            for label, pairs in sorted(by_label.items())
        },
        {
            person: _score([unit for unit in units if person in unit], pairs)
            for person, pairs in sorted(by_person.items())
        },
        {},
    )


def _score(units: Sequence[Unit], pairs: _Pairs) -> Score:
    return Score(sum(len(unit) > 1 for unit in units), pairs.f1, krippendorff_alpha(units))


def marked(items: Iterable[AnswerItem]) -> list[TruthItem]:
    """Return the things that are in the image according to an answer."""
    return [
        TruthItem(item.kind, item.label, item.box)
        for item in items
        if item.decision not in ("reject", "unsure")
    ]


def _comparable(one: Statement, other: Statement) -> list[TruthItem]:
    """Return the things that one person marked and the other looked for."""
    return [item for item in marked(one.items) if other.scope.covers(item.kind, item.label)]


def agreement(reader: Connection, queue: str) -> Agreement:
    """Return the agreement of the people who answered a queue, and their scores on gold images.

    Args:
        reader: A reader's connection.
        queue: The queue's name.

    Raises:
        HistoryUnavailableError: The database can't answer.
    """
    answered: dict[UUID, list[Statement]] = {}
    tested: dict[UUID, list[Statement]] = {}
    with map_errors():
        for image_id, role, gold, answer in reader.execute(_ANSWERS, [queue]):
            statement = Statement(
                answer["person"],
                tuple(item_of_row(one) for one in answer["items"]),
                answer["exhaustive"],
                Scope.of_row(answer["scope_kinds"], answer["scope_labels"]),
            )
            answered.setdefault(image_id, []).append(statement)
            if role == "gold":
                tested.setdefault(image_id, []).append(statement)
                name = gold
    known: dict[str, _Pairs] = {}
    images: Counter[str] = Counter()
    for image_id, statements in tested.items():
        for truth in truth_of(reader, image_id):
            if truth.name != name:
                continue
            for one in statements:
                there = [
                    item
                    for item in truth.items
                    if item.present and one.scope.covers(item.kind, item.label)
                ]
                said = [
                    item for item in marked(one.items) if truth.scope.covers(item.kind, item.label)
                ]
                pairs = match(there, said)
                if not truth.exhaustive:
                    said = [said[b] for _, b in pairs]
                known.setdefault(one.person, _Pairs()).add(there, said, len(pairs))
                images[one.person] += 1
    found = agreement_of(answered.values())
    return Agreement(
        found.images,
        found.total,
        found.by_label,
        found.by_person,
        {person: (pairs.f1, images[person]) for person, pairs in sorted(known.items())},
    )


_ANSWERS = """
    SELECT
        standing.image_id, place.role, queue.gold,
        to_jsonb(standing) || jsonb_build_object('items', coalesce((
            SELECT jsonb_agg(to_jsonb(item) ORDER BY item.ordinal)
            FROM answer_items AS item WHERE item.answer_id = standing.answer_id
        ), '[]'))
    FROM standing_answers AS standing
    JOIN review_images AS place USING (queue_id, image_id)
    JOIN review_queues AS queue USING (queue_id)
    WHERE standing.queue = %s AND standing.verdict = 'answered' AND NOT standing.adjudicates
    ORDER BY standing.image_id, standing.answer_id
"""
