"""Rules that Terraform does not check: how modules are laid out and described."""

import re

import pytest
from infra.terraform import ENVIRONMENTS, INFRA, MODULES, ROOTS, source

FILES = sorted(str(path.relative_to(INFRA)) for path in INFRA.rglob("*.tf") if path.is_file())

BLOCK = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
EVERYTHING = re.compile(r'^\s*Resource\s*=\s*(\["\*"\]|"\*").*$', re.MULTILINE)


@pytest.mark.parametrize("directory", [*MODULES, *ROOTS])
def test_a_module_has_the_usual_files_and_tests(directory: str) -> None:
    names = {path.name for path in (INFRA / directory).iterdir()}
    assert {"main.tf", "variables.tf", "outputs.tf", "versions.tf"} <= names
    assert any(name.endswith(".tftest.hcl") for name in names)


@pytest.mark.parametrize("file", FILES)
def test_variables_and_outputs_are_described(file: str) -> None:
    wrong = []
    for kind, name, body in BLOCK.findall(source(file)):
        if not re.search(r'^  description\s*= (".{10,}"|<<-EOT)$', body, re.MULTILINE):
            wrong.append(f"{name} has no description")
        if kind == "output":
            continue
        any_type = "" if (file, name) == ("modules/pool/config.tf", "config") else "(?!any)"
        if not re.search(rf"^  type\s*= {any_type}", body, re.MULTILINE):
            wrong.append(f"{name} has no type")
        # The root hands its variables to modules, and all modules hand `task` to modules/task.
        is_handed_on = "/" not in file or name == "task"
        is_flag = re.search(r"^  type\s*= bool$", body, re.MULTILINE)
        if not ("validation {" in body or is_flag or is_handed_on):
            wrong.append(f"{name} is not validated")
    assert wrong == []


@pytest.mark.parametrize("file", FILES)
def test_permissions_on_every_resource_are_explained(file: str) -> None:
    unexplained = [match[0] for match in EVERYTHING.finditer(source(file)) if "#" not in match[0]]
    assert unexplained == []


def test_state_is_remote_and_locked() -> None:
    backend = re.search(r'backend "s3" \{(.*?)\}', source("environments/root.tf"), re.DOTALL)
    assert backend is not None
    words = re.sub(r"\s+", " ", backend[1])
    assert "use_lockfile = true" in words
    assert "key" not in words, "environments would share one state"
    assert "encrypt" not in words, "S3's own key would replace the bucket's"


@pytest.mark.parametrize("file", ENVIRONMENTS)
def test_an_environment_has_the_name_of_its_file(file: str) -> None:
    name = file.removeprefix("environments/").removesuffix(".tfvars")
    assert re.search(rf'^environment\s*= "{name}"$', source(file), re.MULTILINE)
