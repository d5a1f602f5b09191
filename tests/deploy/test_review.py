"""Which plans agree with a reviewed one."""

from pathlib import Path
from typing import Any

import pytest
from retinue_deploy.errors import DeployError
from retinue_deploy.ports import Plan
from retinue_deploy.review import Review

AFTER = {"image": None, "name": "a", "tags": {"b": "1"}, "rules": [{"port": 1, "id": None}]}
UNKNOWN = {"image": True, "tags": {}, "rules": [{"id": True}], "arn": True}
CHANGE = {"actions": ["update"], "after": AFTER, "after_unknown": UNKNOWN}
KNOWN = {**AFTER, "image": "i", "arn": "arn", "rules": [{"port": 1, "id": "r"}]}


def plan(address: str = "a", **changes: Any) -> Plan:
    return Plan({}, (), (), {address: {**CHANGE, "after": KNOWN, "after_unknown": {}, **changes}})


def test_what_was_unknown_can_be_anything_and_changes_can_be_done_already(tmp_path: Path) -> None:
    review = Review("dev", "1", "eu-west-1", "t", {"a": CHANGE, "b": CHANGE})
    review.save(tmp_path / "plan.json")
    assert Review.load(tmp_path / "plan.json") == review
    assert (tmp_path / "plan.json").stat().st_mode & 0o077 == 0
    review.check(plan())
    review.check(Plan({}, ()))


@pytest.mark.parametrize(
    "other",
    [
        plan("c"),
        plan(actions=["delete", "create"]),
        plan(after=KNOWN | {"name": "b"}),
        plan(after=KNOWN | {"tags": {"b": "1", "c": "2"}}),
        plan(after=KNOWN | {"rules": []}),
        plan(after=KNOWN | {"rules": [{"port": 2, "id": "r"}]}),
    ],
)
def test_another_change_is_refused(other: Plan) -> None:
    review = Review("dev", "1", "eu-west-1", "t", {"a": CHANGE})
    with pytest.raises(DeployError, match="Review a new plan: make plan ENV=dev"):
        review.check(other)


def test_a_file_that_is_no_plan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}", "utf-8")
    with pytest.raises(DeployError, match="isn't a plan that `make plan` saved"):
        Review.load(tmp_path / "plan.json")
