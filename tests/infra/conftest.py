"""Terraform in a temporary copy of infra/: on a laptop without it tests skip, in CI they fail."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from infra.terraform import ROOTS, Suite, Terraform, TerraformMissingError

STACK = "modules/stack"
ENVIRONMENTS = [root for root in ROOTS if root.startswith("environments/")]
SLOW = ["modules/pool", STACK, *ROOTS]
"""What takes longest, and therefore begins first."""


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Terraform with its AWS provider."""
    try:
        found = Terraform(tmp_path_factory.mktemp("terraform"))
        found.init("modules/key")
    except TerraformMissingError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    return found


@pytest.fixture(scope="session")
def suite(terraform: Terraform, request: pytest.FixtureRequest) -> Iterator[Suite]:
    """Every folder that a chosen test is about, tested."""
    wanted: set[str] = {
        str(item.callspec.params["directory"])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and hasattr(item, "callspec")
        and "directory" in item.callspec.params
    }
    if any("stack" in getattr(item, "fixturenames", ()) for item in request.session.items):
        wanted.add(STACK)
    if any("environments" in getattr(item, "fixturenames", ()) for item in request.session.items):
        wanted.update(ENVIRONMENTS)
    first = [name for name in SLOW if name in wanted]
    running = Suite(
        terraform, [*first, *sorted(wanted - set(first))], frozenset({STACK, *ENVIRONMENTS})
    )
    yield running
    running.stop()


@pytest.fixture(scope="session")
def environments(suite: Suite) -> dict[str, dict[str, dict[str, Any]]]:
    """What each environment has, by its name and by how far it is deployed."""
    found = {}
    for directory in ENVIRONMENTS:
        outcome = suite.outcome(directory)
        assert outcome.problems == ()
        found[directory.rpartition("/")[2]] = dict(outcome.states)
    return found


@pytest.fixture(scope="session")
def stack(suite: Suite) -> dict[str, Any]:
    """The state of a whole environment with three pools, on an imaginary account."""
    outcome = suite.outcome(STACK)
    assert outcome.problems == ()
    return outcome.states["stack"]
