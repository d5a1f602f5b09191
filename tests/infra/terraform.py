"""Terraform, offline: where the AWS provider is, a copy of infra/ to run in, what a test said."""

import json
import os
import platform
import re
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

INFRA = Path(__file__).parents[2] / "infra"
REGISTRY = "registry.terraform.io"
MODULES = sorted(str(path.relative_to(INFRA)) for path in (INFRA / "modules").iterdir())
ROOT = "."
"""The module of an environment, which the examples call."""

DEPLOYED = "../deployed"
"""The same with environments/root.tf: the root module that `make deploy` plans."""

ROOTS = ["bootstrap", ROOT]
"""What is planned and applied."""

EXAMPLES = sorted(str(path.relative_to(INFRA)) for path in (INFRA / "examples").iterdir())
"""Root modules that call the module of an environment."""

ENVIRONMENTS = sorted(
    str(path.relative_to(INFRA)) for path in (INFRA / "environments").glob("*.tfvars")
)

TOGETHER = "../together"
"""Where the tests of several folders are collected, to run in one process."""

_RUN = re.compile(r'^run ".*" \{\n', re.MULTILINE)
_TESTING = re.compile(r'"(\.\./\.\./|\./|\.\./)testing"')
_PROVIDER = Path(REGISTRY, "hashicorp", "aws")
_REATTACH = re.compile(r"TF_REATTACH_PROVIDERS='(.*)'")


class TerraformMissingError(Exception):
    """Terraform, or its AWS provider, cannot be had; the message says why."""


def find_mirror() -> Path | None:
    """Return a folder with the AWS provider for this machine, laid out as a mirror, if any.

    Looks for ``terraform-provider-aws`` where Terraform itself, its plugin cache and people put it.
    """
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    target = f"{platform.system().lower()}_{machine}"
    for place in _places():
        for depth in ("", "*", "*/*"):
            found = place.glob(
                str(Path(depth, _PROVIDER, "5.*", target, "terraform-provider-aws*"))
            )
            for program in found:
                return program.parents[5]
    return None


def _ignore(folder: str, names: list[str]) -> set[str]:
    """Leave out what Terraform and `make deploy` write."""
    written = shutil.ignore_patterns(".terraform", "*.tfstate*")(folder, names)
    return written | ({"root.tf"} if Path(folder) == INFRA else set())


def _places() -> Iterator[Path]:
    """Yield the places of mirrors, the most likely first."""
    if cache_folder := os.environ.get("TF_PLUGIN_CACHE_DIR"):
        yield Path(cache_folder)
    home = Path.home()
    yield from (home / ".terraform.d", home / ".local/share/terraform", home / ".cache")
    for root in os.environ.get("XDG_DATA_DIRS", "/usr/local/share:/usr/share").split(":"):
        yield Path(root) / "terraform"
    yield from (Path("/opt"), Path("/usr/local/lib"), Path("/usr/lib"), Path("/var/lib"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of ``terraform test`` for a folder.

    Attributes:
        passed: How many runs passed.
        problems: What went wrong, in Terraform's words.
        states: What was applied to the imaginary account, by run.
    """

    passed: int
    problems: tuple[str, ...]
    states: Mapping[str, dict[str, Any]]


class Terraform:
    """Runs Terraform in a copy of infra/, so that nothing is written beside the sources.

    Args:
        folder: An empty folder to work in.
        variables: More environment variables, such as where an emulator of AWS is.

    Attributes:
        infra: The copy.
        environment: All environment variables.

    Raises:
        TerraformMissingError: It is not installed, or not its AWS provider and no registry answers.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        """Copy infra/ and find the provider."""
        program = shutil.which("terraform")
        if program is None:
            raise TerraformMissingError("terraform is not installed")
        self._program = program
        self.infra = folder / "infra"
        shutil.copytree(INFRA, self.infra, ignore=_ignore)
        shutil.copytree(self.infra, self.infra / DEPLOYED)
        shutil.copy(self.infra / "environments/root.tf", self.infra / DEPLOYED)
        self._initialized: set[str] = set()
        self._init_lock = Lock()  # the plugin cache is not safe for two at once
        # No AWS_… variable of the user's gets through: nothing here may reach an account.
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "TF_"))
        } | {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"}
        # Collecting the garbage of the provider's large schema takes a third of the time.
        self.environment["GOGC"] = "400"
        self.environment |= variables or {}
        self._choose_source(folder)

    def _choose_source(self, folder: Path) -> None:
        """Take the provider from the user's own configuration, a mirror, or the registry."""
        own = os.environ.get("TF_CLI_CONFIG_FILE")
        mirror = find_mirror()
        if own and Path(own).is_file():
            self.environment["TF_CLI_CONFIG_FILE"] = own
        elif mirror is not None:
            config = folder / "terraform.rc"
            config.write_text(
                f"provider_installation {{\n  filesystem_mirror {{\n"
                f"    path = {json.dumps(str(mirror))}\n  }}\n}}\n",
                encoding="utf-8",
            )
            self.environment["TF_CLI_CONFIG_FILE"] = str(config)
        else:
            downloads = Path(os.environ.get("TF_PLUGIN_CACHE_DIR", folder / "plugins"))
            downloads.mkdir(parents=True, exist_ok=True)
            self.environment["TF_PLUGIN_CACHE_DIR"] = str(downloads)

    def run(
        self, directory: str, *arguments: str, timeout_seconds: float = 300
    ) -> "subprocess.CompletedProcess[str]":
        """Run Terraform in a folder of infra/."""
        return subprocess.run(
            [self._program, *arguments],
            cwd=self.infra / directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )

    def init(self, directory: str) -> None:
        """Initialize a folder, without its backend. Does nothing the second time.

        Raises:
            TerraformMissingError: The provider cannot be had.
            AssertionError: The folder is wrong.
        """
        with self._init_lock:
            if directory in self._initialized:
                return
            done = self.run(directory, "init", "-backend=false", "-no-color")
            if done.returncode == 0:
                self._initialized.add(directory)
                return
        if "Failed to query available provider packages" in done.stderr or (
            "Failed to install provider" in done.stderr
        ):
            raise TerraformMissingError(f"the AWS provider cannot be had: {done.stderr[-600:]}")
        raise AssertionError(done.stderr)

    @contextmanager
    def one_provider(self, directory: str) -> Iterator[None]:
        """Let all commands inside share one process of the provider of an initialized folder.

        Terraform would start one several times for each run of a test, which takes most of its
        time. Only for imaginary accounts: commands that run side by side would configure it anew
        for each other.
        """
        providers = self.infra / directory / ".terraform/providers"
        [program] = Path(providers, _PROVIDER).glob("*/*/terraform-provider-aws*")
        with subprocess.Popen(
            [program, "-debug"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as provider:
            try:
                assert provider.stdout is not None
                found = next(filter(None, map(_REATTACH.search, provider.stdout)))
                self.environment["TF_REATTACH_PROVIDERS"] = found[1]
                yield
            finally:
                self.environment.pop("TF_REATTACH_PROVIDERS", None)
                provider.kill()

    def test(self, name: str, *, states: bool = False) -> Outcome:
        """Run the tests of an initialized folder, or of the root with an environment's values."""
        directory, options = name, ["-verbose"] if states else []
        if name in ENVIRONMENTS:
            directory = DEPLOYED
            options += ["-test-directory=environments", f"-var-file={name}"]
            options += ["-filter=environments/environment.tftest.hcl"]
        outcomes, rest = self._test(directory, options)
        problems = tuple(problem for outcome in outcomes.values() for problem in outcome.problems)
        states_by_run = {
            run: state for one in outcomes.values() for run, state in one.states.items()
        }
        passed = sum(outcome.passed for outcome in outcomes.values())
        return Outcome(passed, problems + rest, states_by_run)

    def test_together(self, names: list[str]) -> dict[str, Outcome]:
        """Run the tests of several folders in one process, which reads the provider's schema once.

        Reading it takes most of the time that the tests of a folder take by themselves.
        """
        together = self.infra / TOGETHER
        shutil.rmtree(together, ignore_errors=True)
        together.mkdir()
        shutil.copy(self.infra / "versions.tf", together)
        files = {}
        for name in names:
            for path in (self.infra / name).glob("*.tftest.hcl"):
                file = f"{name.replace('/', '-')}-{path.name}"
                files[file] = name
                text = path.read_text(encoding="utf-8")
                text = _RUN.sub(
                    rf'\g<0>  module {{\n    source = "../{INFRA.name}/{name}"\n  }}\n', text
                )
                text = _TESTING.sub(f'"../{INFRA.name}/testing"', text)
                (together / file).write_text(text, encoding="utf-8")
        self.init(TOGETHER)
        outcomes, rest = self._test(TOGETHER, [])
        found = {name: Outcome(0, rest, {}) for name in names}
        for file, outcome in outcomes.items():
            before = found[files[file]]
            found[files[file]] = Outcome(
                before.passed + outcome.passed, before.problems + outcome.problems, {}
            )
        return found

    def _test(
        self, directory: str, options: list[str]
    ) -> tuple[dict[str, Outcome], tuple[str, ...]]:
        """Return what came of each file of tests, and what went wrong in none of them."""
        done = self.run(directory, "test", "-json", *options)
        passed: Counter[str] = Counter()
        problems: defaultdict[str, list[str]] = defaultdict(list)
        states: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        for line in done.stdout.splitlines():
            if line.endswith('"type":"test_plan"}'):
                continue  # 14 MB, of which nothing is read
            message = json.loads(line)
            file = message.get("@testfile", "")
            match message["type"]:
                case "diagnostic" if message["diagnostic"]["severity"] == "error":
                    problem = f"{message.get('@testrun', '')}: {_say(message['diagnostic'])}"
                    problems[file].append(problem)
                case "test_run" if message["test_run"].get("status") == "pass":
                    passed[file] += 1
                case "test_state":
                    # Leave out the provider's schema: the garbage collector would visit it
                    # for the rest of the process.
                    root = message["test_state"]["root_module"]
                    states[file][message["@testrun"]] = {"root_module": root}
        rest = problems.pop("", [])
        if done.returncode and not problems and not rest:
            rest.append(done.stderr or done.stdout[-2_000:])
        outcomes = {
            file: Outcome(passed[file], tuple(problems[file]), states[file])
            for file in {*passed, *problems, *states}
        }
        return outcomes, tuple(rest)


def _say(diagnostic: Mapping[str, Any]) -> str:
    place = diagnostic.get("range", {})
    line = place.get("start", {}).get("line", "")
    return (
        f"{diagnostic['summary']} ({place.get('filename', '')}:{line}) "
        f"{diagnostic.get('detail', '')}"
    )


class Suite:
    """Tests folders and environments ahead of time, on several processors.

    Args:
        terraform: Runs them.
        names: Folders and tfvars files of infra/.
        with_states: Those whose states are wanted. Each has a process of its own.
    """

    def __init__(self, terraform: Terraform, names: list[str], with_states: frozenset[str]) -> None:
        self._terraform = terraform
        self._pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)
        self._alone = {
            name: self._pool.submit(self._test, name) for name in names if name in with_states
        }
        together = [name for name in names if name not in with_states]
        self._together = self._pool.submit(terraform.test_together, together)

    def _test(self, name: str) -> Outcome:
        self._terraform.init(DEPLOYED if name in ENVIRONMENTS else name)
        return self._terraform.test(name, states=True)

    def outcome(self, name: str) -> Outcome:
        """Return what came of a folder or an environment. Waits for it."""
        if name in self._alone:
            return self._alone[name].result()
        return self._together.result()[name]

    def stop(self) -> None:
        """Begin no more."""
        self._pool.shutdown(cancel_futures=True)


def resources(state: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return the resources of one type in a state, by address."""
    return dict(_walk(state["root_module"], kind))


def _walk(module: Mapping[str, Any], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for resource in module.get("resources", ()):
        if resource["mode"] == "managed" and resource["type"] == kind:
            yield resource["address"], resource["values"]
    for child in module.get("child_modules", ()):
        yield from _walk(child, kind)


@cache
def source(path: str) -> str:
    """Return the text of a file of infra/."""
    return (INFRA / path).read_text(encoding="utf-8")


def last_line(path: str) -> str:
    """Return the line that a scheduled task must print for its alarm."""
    found = re.search(r'^  last_line += "(.*)"$', source(path), re.MULTILINE)
    assert found is not None
    return found[1]
