"""Run Terraform in a folder, and explain its errors."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retinue_deploy.errors import DeployError, ProgramError
from retinue_deploy.ports import Plan
from retinue_deploy.programs import Programs

HOLDS_DATA = frozenset({"aws_db_instance", "aws_s3_bucket", "aws_kms_key", "aws_ecr_repository"})
"""Types of resources that a deployment never destroys: databases, buckets, keys."""

LOSES_WORK = frozenset({"aws_sqs_queue", "aws_cloudwatch_log_group", "aws_ecs_service"})
"""Types that are destroyed only on request: messages and logs go with them, and running tasks."""

_LOCK_ID = re.compile(r"ID:\s+(\S+)")
_LOCK_WHO = re.compile(r"Who:\s+(.+)")
_LOG_GROUP = re.compile(
    r"creating CloudWatch Logs Log Group[\s│]+\(([^)]+)\):[^╵]*?ResourceAlreadyExistsException"
)


class Terraform:
    """Runs Terraform in a folder.

    Args:
        programs: Runs it.
        folder: The root module.
        variables: Input variables in addition to those of ``var_file``.
        var_file: An environment's tfvars file.
        data_dir: Terraform's folder for providers, modules and the backend (``TF_DATA_DIR``),
            relative to ``folder``. With one for each environment, no command can reach the state of
            another.
    """

    def __init__(
        self,
        programs: Programs,
        folder: Path,
        variables: Mapping[str, str] | None = None,
        *,
        var_file: Path | None = None,
        data_dir: str = ".terraform",
    ) -> None:
        self._programs = programs
        self.folder = folder
        self.var_file = var_file
        self._variables = dict(variables or {})
        self._data_dir = data_dir

    def init(self, backend: Mapping[str, str] | None = None, *, reconfigure: bool = False) -> None:
        """Install providers and modules, and configure the backend. Safe to repeat."""
        options = [f"-backend-config={name}={value}" for name, value in (backend or {}).items()]
        self._run("init", *(["-reconfigure"] if backend or reconfigure else []), *options)

    def select_workspace(self, name: str) -> None:
        """Select the state of a workspace, which is created if necessary."""
        self._run("workspace", "select", "-or-create", name)

    def plan(
        self,
        file: str,
        more: Mapping[str, str] | None = None,
        *,
        targets: Sequence[str] = (),
        destroy: bool = False,
    ) -> Plan:
        """Plan into a file.

        Args:
            file: Name of the file, in the folder.
            more: Further variables.
            targets: The only modules and resources to plan; everything if empty.
            destroy: Plan to destroy.
        """
        self._run(
            "plan",
            *(["-destroy"] if destroy else []),
            *(f"-target={target}" for target in targets),
            f"-out={file}",
            *self._as_options(more),
        )
        return read_plan(json.loads(self._run("show", "-json", file, quiet=True)))

    def check(self, more: Mapping[str, str]) -> None:
        """Plan without reading AWS, to check the variables."""
        self._run("plan", "-refresh=false", "-lock=false", *self._as_options(more))

    def show(self, file: str) -> str:
        """Return a plan as text."""
        return self._run("show", "-no-color", file, quiet=True)

    def apply(self, file: str) -> None:
        """Apply exactly the planned changes."""
        self._run("apply", file)

    def outputs(self) -> dict[str, Any]:
        """Return the outputs by name. Those of resources that were never applied are missing."""
        shown = json.loads(self._run("output", "-json", quiet=True))
        return {name: output["value"] for name, output in shown.items()}

    def state(self) -> Mapping[str, Any]:
        """Return the resources, as in ``terraform show -json``."""
        shown: dict[str, Any] = json.loads(self._run("show", "-json", quiet=True))
        return shown

    def evaluate(self, expression: str, more: Mapping[str, str] | None = None) -> str:
        """Return the value of an expression, after checking the variables."""
        return self._run(
            "console", *self._as_options(more), quiet=True, secret=f"{expression}\n"
        ).strip()

    def _as_options(self, more: Mapping[str, str] | None) -> list[str]:
        file = [f"-var-file={self.var_file.resolve()}"] if self.var_file else []
        values = {**self._variables, **(more or {})}
        return [*file, *(f"-var={name}={value}" for name, value in values.items())]

    def _run(
        self, command: str, *arguments: str, quiet: bool = False, secret: str | None = None
    ) -> str:
        takes_it = command not in ("console", "workspace") and "-no-color" not in arguments
        plain = ["-no-color"] if takes_it else []
        try:
            return self._programs.run(
                ["terraform", command, *plain, *arguments],
                folder=self.folder,
                environment={
                    "TF_DATA_DIR": self._data_dir,
                    "TF_IN_AUTOMATION": "1",
                    "TF_INPUT": "0",
                    "CHECKPOINT_DISABLE": "1",
                },
                quiet=quiet,
                secret=secret,
            )
        except ProgramError as error:
            raise self._explain(error) from error

    def _explain(self, error: ProgramError) -> DeployError:
        """Explain an error of Terraform to the operator."""
        output = error.output
        if "Error acquiring the state lock" in output:
            found, who = _LOCK_ID.search(output), _LOCK_WHO.search(output)
            lock = found[1] if found else "LOCK_ID"
            holder = f" by {who[1].strip()}" if who else ""
            return DeployError(
                f"Terraform's state is locked{holder}. If another deployment is running, wait for "
                "it. If an earlier one was killed, unlock the state and run again:\n"
                f"    TF_DATA_DIR={self._data_dir} terraform -chdir={self.folder} "
                f"force-unlock {lock}"
            )
        if "Invalid value for variable" in output:
            return DeployError(f"invalid value in {self.var_file}:\n{_reasons(output)}")
        if "No valid credential sources" in output or "ExpiredToken" in output:
            return DeployError(
                "AWS credentials are missing or have expired: sign in, and run again."
            )
        if groups := dict.fromkeys(_LOG_GROUP.findall(output)):
            commands = "\n".join(
                f"    aws logs delete-log-group --log-group-name {group}" for group in groups
            )
            return DeployError(
                "log groups exist already. If an environment of this name was destroyed, AWS wrote "
                "its last lines afterwards: delete them, and run again:\n" + commands
            )
        begin = output.find("\nError:")
        if begin >= 0:  # everything above is the plan
            return DeployError(f"Terraform in {self.folder} says:\n{_reasons(output[begin:])}")
        return error


def _reasons(output: str) -> str:
    """Return the text in Terraform's box, without the box."""
    lines = [line.strip("│╷╵├─ \t") for line in output.splitlines()]
    return "\n".join(f"    {line}" for line in lines if line)


def read_plan(shown: Mapping[str, Any]) -> Plan:
    """Return a plan from ``terraform show -json``."""
    changes: dict[str, int] = {}
    lost = []
    disrupted = []
    resources = {}
    for change in shown.get("resource_changes", ()):
        actions = change["change"]["actions"]
        if change.get("mode") != "managed" or actions in (["no-op"], ["read"]):
            continue
        resources[change["address"]] = {
            name: change["change"].get(name) for name in ("actions", "after", "after_unknown")
        }
        what = "replace" if len(actions) == 2 else actions[0]
        changes[what] = changes.get(what, 0) + 1
        if "delete" in actions and change["type"] in HOLDS_DATA:
            lost.append(change["address"])
        if "delete" in actions and change["type"] in LOSES_WORK:
            disrupted.append(change["address"])
    return Plan(changes, tuple(lost), tuple(disrupted), resources)
