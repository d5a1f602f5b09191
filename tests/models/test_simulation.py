"""The comparison of benchmarks/bench_models.py on short traces."""

import pytest
from benchmarks.bench_models import POLICIES, TAIL, Outcome, Trace, compare, trickle
from fakes.reference_machine import HOUR, ReferenceMachine


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Outcome]]:
    short = [
        Trace("trickle", 21_600.0, tuple(trickle(6, 300))),
        Trace("sparse", 21_600.0, tuple(trickle(6, 5_400))),
        Trace("batch", 7_200.0, (1_000.0,) * 2_000),
        Trace("idle", TAIL),
        Trace("poison", 86_400.0, (), (1_000.0,)),
    ]
    return {trace.name: {one.who: one for one in compare(trace, 5.0)} for trace in short}


@pytest.mark.parametrize("machine", ["reference", "lean"])
@pytest.mark.parametrize("policy", ["default", "patient"])
def test_never_dearer_and_never_later(
    found: dict[str, dict[str, Outcome]], policy: str, machine: str
) -> None:
    for name, outcomes in found.items():
        reference, ours = outcomes[machine], outcomes[policy]
        assert ours.usd <= reference.usd, name
        assert ours.unanswered == 0
        if ours.p95_minutes is not None and reference.p95_minutes is not None:
            assert ours.p95_minutes <= reference.p95_minutes, name


@pytest.mark.parametrize("policy", ["default", "patient"])
def test_half_the_price_where_little_comes(
    found: dict[str, dict[str, Outcome]], policy: str
) -> None:
    for name in ("trickle", "sparse", "batch", "poison"):
        assert found[name][policy].usd <= found[name]["reference"].usd / 2, name


def test_the_reference_is_the_published_machine() -> None:
    """One image: 15 minutes of waiting for the start, 59 of keeping, 2 of stopping."""
    machine = ReferenceMachine([60.0])
    machine.run(4 * HOUR)
    assert machine.usd == pytest.approx((15 + 59 + 2) * 4 / 60, abs=0.01)
    assert machine.delays == [pytest.approx(HOUR + 900 - 60, abs=10)]


def test_the_reference_starts_anew_each_second_hour_for_a_poison_message() -> None:
    machine = ReferenceMachine([], [60.0])
    machine.run(5 * 24 * HOUR)
    assert machine.versions.get(machine.arn).starts == 4 * 24 / 2


def test_nothing_costs_nothing(found: dict[str, dict[str, Outcome]]) -> None:
    assert {one.usd for one in found["idle"].values()} == {0.0}
    assert set(POLICIES) == {"at once", "default", "patient"}
