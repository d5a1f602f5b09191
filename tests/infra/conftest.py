"""Terraform in a temporary copy of infra/: on a laptop without it tests skip, in CI they fail."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from infra.terraform import ENVIRONMENTS, ROOT, Suite, Terraform, TerraformMissingError

ALONE = [ROOT, *ENVIRONMENTS]
"""Those whose states tests look at."""


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
    """Terraform's tests of every folder and environment that a chosen test asks for."""
    wanted: set[str] = {
        str(item.callspec.params["directory"])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and hasattr(item, "callspec")
        and "directory" in item.callspec.params
    }
    if any(
        {"stack", "console_stack"} & set(getattr(item, "fixturenames", ()))
        for item in request.session.items
    ):
        wanted.add(ROOT)
    if any("environments" in getattr(item, "fixturenames", ()) for item in request.session.items):
        wanted.update(ENVIRONMENTS)
    with terraform.one_provider("modules/key"):
        running = Suite(terraform, sorted(wanted), frozenset(ALONE))
        yield running
        running.stop()


@pytest.fixture(scope="session")
def environments(suite: Suite) -> dict[str, dict[str, dict[str, Any]]]:
    """State of each environment on an imaginary account, by its name and by the test's run."""
    found = {}
    for file in ENVIRONMENTS:
        outcome = suite.outcome(file)
        assert outcome.problems == ()
        found[Path(file).stem] = dict(outcome.states)
    return found


@pytest.fixture(scope="session")
def stack(suite: Suite) -> dict[str, Any]:
    """Return the state of an environment with every kind of pool, on an imaginary account."""
    outcome = suite.outcome(ROOT)
    assert outcome.problems == ()
    return outcome.states["everything"]
