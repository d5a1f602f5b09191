"""Terraform itself, on configurations that need no provider: plans, outputs, locks, complaints."""

import fcntl
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from retinue_deploy.environment import Environment, find_environment, resources, tfvars
from retinue_deploy.errors import DeployError
from retinue_deploy.journal import Journal
from retinue_deploy.programs import Programs
from retinue_deploy.terraform import Terraform, read_plan

ROOT = Path(__file__).parents[2]
POOLS = """
variable "pools" {
  type = map(object({ gpu = optional(bool, false), max = optional(number, 4),
    cpu = optional(number, 1024), key_prefixes = optional(list(string), []),
    key_suffixes = optional(list(string), []), detectors = optional(map(map(string)), {}),
    prices = optional(map(number), {}), price_tiers = optional(any, {}),
    monthly_budgets_usd = optional(map(number), {}), routes = optional(any, {}),
    isolation = optional(any, {}), hosted_models = optional(any, {}),
    settings = optional(map(string), {}), max_in_flight = optional(number, 40),
    visibility_timeout_seconds = optional(number, 120), heartbeat_seconds = optional(number, 30),
    detector_timeout_seconds = optional(number, 60), shutdown_grace_seconds = optional(number, 45),
    stop_timeout_seconds = optional(number, 90) }))
  validation {
    condition     = length(var.pools) > 0
    error_message = "pools is empty: give at least one."
  }
}
variable "arm64" { default = true }
variable "sources" { default = {} }
variable "image_tag" {
  type    = string
  default = null
}
variable "image_uri" {
  type    = string
  default = null
}
resource "terraform_data" "service" { input = var.image_tag }
output "migrate" { value = jsonencode({ taskDefinition = var.image_tag }) }
output "bucket_name" { value = "b" }
output "pools" { value = { labels = terraform_data.service.output } }
"""


@pytest.fixture
def terraform(tmp_path: Path) -> Callable[..., Terraform]:
    """Terraform in a folder with a configuration and with variables for it."""
    if shutil.which("terraform") is None:
        if os.environ.get("CI"):
            pytest.fail("terraform is not installed")
        pytest.skip("terraform is not installed")

    def make(configuration: str, variables: str = "") -> Terraform:
        folder = tmp_path / "configuration"
        folder.mkdir(exist_ok=True)
        (folder / "main.tf").write_text(configuration, encoding="utf-8")
        file = folder / "dev.tfvars"
        file.write_text(variables, encoding="utf-8")
        journal = Journal(tmp_path / "logs", "test", io.StringIO())
        made = Terraform(Programs(journal), folder, var_file=file, data_dir=".terraform/dev")
        made.init()
        return made

    return make


def test_an_environment_is_planned_applied_and_asked(
    terraform: Callable[..., Terraform],
) -> None:
    pools = """pools = {
      films   = { detectors = { rekognition-video-labels = {} }, max = 1 }
      labels  = { detectors = { rekognition-labels = {} }, key_prefixes = ["in/"], cpu = 2048 }
      objects = { detectors = { onnx-objects = {} }, key_prefixes = ["objects/"], gpu = true }
    }"""
    real = terraform(POOLS, pools)
    environment = Environment(real, "dev", "eu-west-1")
    environment.check()
    assert environment.variants() == ["arm64", "cuda"]
    assert environment.wanted_vcpus() == 9
    assert environment.smoke_key("n") == "in/n.jpg"
    for ask in (environment.outputs, environment.migrate_parameters):
        with pytest.raises(DeployError, match="dev is not deployed yet: run `make deploy ENV=dev`"):
            ask()
    assert environment.bucket_name() is None
    assert environment.plan("1").changes == {"create": 1}
    environment.apply()
    assert environment.migrate_parameters() == {"taskDefinition": "1"}
    assert environment.outputs()["pools"] == {"labels": "1"}
    assert environment.bucket_name() == "b"
    assert not (real.folder / "dev.tfplan").exists()
    assert environment.plan("1").changes == {}
    assert environment.plan("2").changes == {"update": 1}
    assert "terraform_data.service" in environment.show()
    assert [address for address, _, _ in resources(real.state())] == ["terraform_data.service"]
    assert environment.protected() == []


def test_wrong_pools_are_refused_before_anything_else(terraform: Callable[..., Terraform]) -> None:
    environment = Environment(terraform(POOLS, "pools = {}"), "dev", "eu-west-1")
    with pytest.raises(DeployError, match=r"invalid value in .*dev\.tfvars(.|\n)*pools is empty"):
        environment.check()


def test_a_lock_that_was_left_comes_with_the_command_to_remove_it(
    terraform: Callable[..., Terraform],
) -> None:
    real = terraform('resource "terraform_data" "a" {}')
    state = real.folder / "terraform.tfstate"
    unlock = r"TF_DATA_DIR=\.terraform/dev terraform -chdir=\S+ force-unlock 8c1f-1$"
    held = {"ID": "8c1f-1", "Operation": "OperationTypeApply", "Who": "anna@laptop",
            "Version": "1.12.0", "Created": "2026-11-23T12:00:00Z", "Info": ""}  # fmt: skip
    with state.open("w", encoding="utf-8") as file:
        (real.folder / ".terraform.tfstate.lock.info").write_text(json.dumps(held), "utf-8")
        fcntl.lockf(file, fcntl.LOCK_EX)
        with pytest.raises(DeployError, match=rf"locked by anna@laptop(.|\n)*{unlock}"):
            real.plan("a.tfplan")


def test_a_complaint_is_told_without_the_plan(
    terraform: Callable[..., Terraform],
) -> None:
    rule = 'condition = terraform.workspace == "none"\nerror_message = "not today"'
    check = f"lifecycle {{\nprecondition {{\n{rule}\n}}\n}}"
    with pytest.raises(DeployError, match=r"says:\n    Error: (.|\n)*not today"):
        terraform(f'resource "terraform_data" "a" {{\n{check}\n}}').plan("a.tfplan")


def test_log_groups_of_a_destroyed_environment_come_with_the_command_to_remove_them(
    terraform: Callable[..., Terraform],
) -> None:
    group = "/aws/ecs/containerinsights/retinue-dev/performance"
    said = (
        f"creating CloudWatch Logs Log Group ({group}): operation error CloudWatch Logs: "
        "CreateLogGroup, https response error StatusCode: 400, ResourceAlreadyExistsException: "
        "The specified log group already exists"
    )
    rule = f'condition = terraform.workspace == "none"\nerror_message = "{said}"'
    check = f"lifecycle {{\nprecondition {{\n{rule}\n}}\n}}"
    with pytest.raises(DeployError, match=f"delete-log-group --log-group-name {group}$"):
        terraform(f'resource "terraform_data" "a" {{\n{check}\n}}').plan("a.tfplan")


def test_workspaces_keep_states_apart(terraform: Callable[..., Terraform]) -> None:
    real = terraform('resource "terraform_data" "a" {}')
    for name in ("one", "two"):
        real.select_workspace(name)
        assert real.plan("a.tfplan").changes == {"create": 1}
        real.apply("a.tfplan")
        assert (real.folder / f"terraform.tfstate.d/{name}/terraform.tfstate").exists()


def test_a_plan_that_destroys_what_holds_data_names_it() -> None:
    def change(kind: str, *actions: str, mode: str = "managed") -> dict[str, object]:
        return {"address": f"{kind}.a", "type": kind, "mode": mode, "change": {"actions": actions}}

    plan = read_plan(
        {
            "resource_changes": [
                change("aws_db_instance", "delete", "create"),
                change("aws_sqs_queue", "delete"),
                change("aws_s3_bucket", "update"),
                change("aws_ecr_image", "read", mode="data"),
            ]
        }
    )
    assert plan.changes == {"replace": 1, "delete": 1, "update": 1}
    assert plan.lost == ("aws_db_instance.a",)
    assert plan.disrupted == ("aws_sqs_queue.a",)


def test_environments_are_found_by_name() -> None:
    assert find_environment(ROOT, "dev") == ROOT / "infra/environments/dev.tfvars"
    for name in ("nope", "../dev", "", "Dev"):
        with pytest.raises(DeployError, match="infra/environments has dev, production"):
            find_environment(ROOT, name)


def test_plain_texts_of_tfvars_are_read(tmp_path: Path) -> None:
    file = tmp_path / "dev.tfvars"
    file.write_text('# region = "x"\nregion    = "eu-west-1"\n', "utf-8")
    assert tfvars(file, "region") == "eu-west-1"
    assert tfvars(file, "account_id") is None


def test_environments_of_one_root_share_neither_backend_nor_state(
    terraform: Callable[..., Terraform], tmp_path: Path
) -> None:
    root = terraform(f'{POOLS}\nterraform {{\n  backend "local" {{}}\n}}').folder
    programs = Programs(Journal(tmp_path / "logs", "test", io.StringIO()))
    for name in ("dev", "production"):
        file = root / f"{name}.tfvars"
        file.write_text("pools = { labels = {} }", encoding="utf-8")
        real = Terraform(programs, root, var_file=file, data_dir=f".terraform/{name}")
        real.init({"path": f"{name}.tfstate"})
        environment = Environment(real, name, "eu-west-1")
        assert environment.plan("1").changes == {"create": 1}
        environment.apply()
    dev = Terraform(programs, root, var_file=root / "dev.tfvars", data_dir=".terraform/dev")
    assert Environment(dev, "dev", "eu-west-1").plan("2").changes == {"update": 1}


def test_a_preview_that_was_killed_leaves_no_backend_behind(
    terraform: Callable[..., Terraform], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = terraform(POOLS, "pools = { labels = {} }")
    override = real.folder / "preview_override.tf"
    override.write_text('terraform {\n  backend "local" {}\n}\n', encoding="utf-8")
    is_there: list[bool] = []
    monkeypatch.setattr(real, "init", lambda _: is_there.append(override.exists()))
    Environment(real, "dev", "eu-west-1").connect("state")
    assert is_there == [False]
