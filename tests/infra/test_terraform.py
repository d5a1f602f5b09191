"""Terraform's own checks: format, validity, and the tests beside each module."""

import pytest
from infra.terraform import ENVIRONMENTS, EXAMPLES, MODULES, ROOTS, Suite, Terraform


def test_every_file_is_formatted(terraform: Terraform) -> None:
    done = terraform.run(".", "fmt", "-check", "-recursive", "-diff", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)
@pytest.mark.parametrize("directory", [*MODULES, *ROOTS, *EXAMPLES, *ENVIRONMENTS])
def test_it_is_valid_and_its_tests_pass(suite: Suite, directory: str) -> None:
    outcome = suite.outcome(directory)
    assert outcome.problems == ()
    assert outcome.passed > 0
