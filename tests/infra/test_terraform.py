"""Terraform's own checks: format, and the tests beside each module, which validate it first."""

import pytest
from infra.terraform import ENVIRONMENTS, EXAMPLES, MODULES, ROOTS, Suite, Terraform


def test_every_file_is_formatted(terraform: Terraform) -> None:
    done = terraform.run(".", "fmt", "-check", "-recursive", "-diff", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)
@pytest.mark.parametrize("directory", [*MODULES, *ROOTS, *EXAMPLES, *ENVIRONMENTS])
def test_its_tests_pass(suite: Suite, directory: str) -> None:
    outcome = suite.outcome(directory)
    assert outcome.problems == ()
    assert outcome.passed > 0
