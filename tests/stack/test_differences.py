"""The list of invented differences passes over what is on it, and nothing else."""

import re

import pytest
from stack import differences
from stack.deployment import Change, changes_of
from stack.differences import INVENTED, Difference, not_seen, unexplained
from stack.services import Stack

KNOWN = Difference("aws_ecs_service.this", frozenset({"tags"}), frozenset({Stack.LIGHT}), "cause")
CHANGE = Change('module.pool["labels"].aws_ecs_service.this', "update", "tags")


@pytest.fixture(autouse=True)
def _one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differences, "INVENTED", (KNOWN,))


def test_one_that_is_listed_is_passed_over() -> None:
    assert unexplained({CHANGE}, Stack.LIGHT) == []
    assert not_seen({CHANGE}, Stack.LIGHT) == []


@pytest.mark.parametrize(
    "change",
    [
        Change(CHANGE.address, "update", "desired_count"),
        Change(CHANGE.address, "delete/create", "tags"),
        Change(CHANGE.address, "delete", ""),
        Change("aws_ecs_service.other", "update", "tags"),
    ],
)
def test_another_is_not(change: Change) -> None:
    assert unexplained({CHANGE, change}, Stack.LIGHT) == [change]


def test_nor_is_one_of_another_stack() -> None:
    assert unexplained({CHANGE}, Stack.LOCALSTACK) == [CHANGE]


def test_one_that_is_seen_no_more_is_named() -> None:
    assert not_seen(set(), Stack.LIGHT) == [KNOWN]
    assert not_seen(set(), Stack.LOCALSTACK) == []


def test_every_attribute_that_differs_is_a_change() -> None:
    change = {
        "actions": ["update"],
        "before": {"a": 1, "b": {"c": 1}, "d": 1},
        "after": {"a": 1, "b": {"c": 2}},
        "after_unknown": {"d": True, "b": {}},
    }
    assert changes_of("x.y", change) == [Change("x.y", "update", n) for n in ("b", "d")]
    replaced = change | {"actions": ["delete", "create"], "replace_paths": [["b", "c"]]}
    assert changes_of("x.y", replaced) == [Change("x.y", "delete/create", "b")]
    assert changes_of("x.y", change | {"actions": ["no-op"]}) == []


def test_each_has_a_cause() -> None:
    for difference in INVENTED:
        assert len(difference.cause) >= 30
        assert difference.attributes
        assert difference.stacks
        assert re.fullmatch(r"aws_\w+\.\w+", difference.resource)
