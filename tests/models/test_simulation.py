"""The comparison of benchmarks/bench_models.py on short traces."""

import pytest
from benchmarks.bench_models import POLICIES, TAIL, Outcome, Trace, compare, trickle


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


@pytest.mark.parametrize("policy", ["prompt", "patient"])
def test_never_dearer_and_never_later(found: dict[str, dict[str, Outcome]], policy: str) -> None:
    for outcomes in found.values():
        reference, ours = outcomes["reference"], outcomes[policy]
        assert ours.usd <= reference.usd
        assert ours.unanswered == 0
        if ours.p95_minutes is not None and reference.p95_minutes is not None:
            assert ours.p95_minutes <= reference.p95_minutes


def test_half_the_price_where_little_comes(found: dict[str, dict[str, Outcome]]) -> None:
    for name in ("trickle", "sparse", "batch", "poison"):
        assert found[name]["patient"].usd <= found[name]["reference"].usd / 2, name


def test_nothing_costs_nothing(found: dict[str, dict[str, Outcome]]) -> None:
    assert {one.usd for one in found["idle"].values()} == {0.0}
    assert set(POLICIES) == {"at once", "prompt", "patient"}
