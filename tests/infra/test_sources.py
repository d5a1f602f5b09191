"""Rules that Terraform does not check: how modules are laid out and described."""

import re

import pytest
from infra.terraform import INFRA, MODULES, ROOTS, source

FILES = sorted(str(path.relative_to(INFRA)) for path in INFRA.rglob("*.tf*") if path.is_file())
PASSED_ON = ("modules/stack/", "environments/")
"""What only hands variables on: the module that uses one checks it."""

BLOCK = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
EVERYTHING = re.compile(r'^\s*Resource\s*=\s*(\["\*"\]|"\*").*$', re.MULTILINE)
TYPE_OF_POOLS = re.compile(r"^    detectors .*?^  \}\)", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("directory", [*MODULES, *ROOTS])
def test_a_module_has_the_usual_files_and_tests(directory: str) -> None:
    names = {path.name for path in (INFRA / directory).iterdir()}
    assert {"main.tf", "variables.tf", "outputs.tf", "versions.tf"} <= names
    assert any(name.endswith(".tftest.hcl") for name in names)


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_short(file: str) -> None:
    assert source(file).count("\n") <= 300 or file.endswith(".tftest.hcl")


@pytest.mark.parametrize("file", [file for file in FILES if file.endswith(".tf")])
def test_variables_and_outputs_are_described(file: str) -> None:
    wrong = []
    for kind, name, body in BLOCK.findall(source(file)):
        if not re.search(r'^  description\s*= ".{10,}"$', body, re.MULTILINE):
            wrong.append(f"{name} has no description")
        if kind == "output":
            continue
        if not re.search(r"^  type\s*= (?!any)", body, re.MULTILINE):
            wrong.append(f"{name} has no type")
        checked = "validation {" in body or re.search(r"^  type\s*= bool$", body, re.MULTILINE)
        if not checked and not file.startswith(PASSED_ON):
            wrong.append(f"{name} is not validated")
    assert wrong == []


@pytest.mark.parametrize("file", [file for file in FILES if file.endswith(".tf")])
def test_whoever_may_do_something_everywhere_says_why(file: str) -> None:
    unexplained = [match[0] for match in EVERYTHING.finditer(source(file)) if "#" not in match[0]]
    assert unexplained == []


def test_pools_have_one_type_everywhere() -> None:
    def declared(file: str) -> list[str]:
        found = TYPE_OF_POOLS.search(source(file))
        assert found is not None
        return [re.sub(r"\s+", " ", line.strip()) for line in found[0].splitlines()][:-1]

    pool = declared("modules/pool/config.tf")
    assert len(pool) > 20
    for place in ("modules/stack", "environments/dev", "environments/production"):
        text = declared(f"{place}/pools.tf")
        assert text[: len(pool)] == pool, place


def test_the_environments_take_the_same_variables() -> None:
    for file in ("variables.tf", "outputs.tf", "pools.tf"):
        assert source(f"environments/dev/{file}") == source(f"environments/production/{file}")


@pytest.mark.parametrize("environment", ["dev", "production"])
def test_state_is_remote_and_locked(environment: str) -> None:
    backend = re.search(
        r'backend "s3" \{(.*?)\}', source(f"environments/{environment}/versions.tf"), re.DOTALL
    )
    assert backend is not None
    words = re.sub(r"\s+", " ", backend[1])
    assert f'key = "retinue/{environment}.tfstate"' in words
    assert "use_lockfile = true" in words
    assert "encrypt" not in words, "it would ask S3 for its own key, and not for the bucket's"
