"""The program that replaces a service on a laptop."""

from dataclasses import dataclass
from typing import Any, cast

import pytest
from retinue_cli.local import AwsEndpoint, LaptopError, Processes, State
from retinue_cli.local.local_service import LocalServiceProcess, needed, warning
from retinue_sdk import LocalService

ONE = LocalService(
    "A Service", "retinue_rekognition_emulator", "AWS_ENDPOINT_URL_A", "url", "It lies."
)
NOWHERE = AwsEndpoint("http://127.0.0.1:9")


@dataclass
class Named:
    name: str
    local_service: LocalService | None


def test_it_serves_and_ends(state: State) -> None:
    state.prepare()
    processes = Processes(state)
    with LocalServiceProcess(ONE, state, processes, NOWHERE) as process:
        assert process.url.startswith("http://127.0.0.1:")
        assert state.processes.read_text() != "[]"
    assert state.processes.read_text() == "[]"


def test_one_that_does_not_start_is_told_with_the_end_of_its_log(state: State) -> None:
    state.prepare()
    broken = LocalService("A Service", "retinue_rekognition.no_such_module", "A", "url", "")
    with (
        pytest.raises(LaptopError, match=r"emulator of A Service(?s:.*)No module named"),
        LocalServiceProcess(broken, state, Processes(state), NOWHERE),
    ):
        pass
    assert state.processes.read_text() == "[]"


def test_who_needs_one() -> None:
    made = cast("Any", [Named("a", ONE), Named("b", None), Named("c", ONE), Named("d", ONE)])
    assert needed(made, {"c": {"url": "http://mine"}, "d": {"url": None}}) == {ONE: ["a", "d"]}
    assert warning(ONE, ["a", "d"]).startswith("a, d: these answers are not A Service's.")
