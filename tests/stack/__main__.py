"""``make test-stack``: installs what is missing, then runs the test in a network of its own.

LocalStack listens on every IPv4 interface whatever it is told, so nothing of this may run in the
machine's own network. A mount namespace comes with it, for RDS's certificates at the path where the
container image has them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from infra.terraform import Terraform, TerraformMissingError, find_mirror
from platformdirs import user_cache_path
from stack.install import install
from stack.services import Stack, chosen, emulators

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Install, then start pytest in new namespaces.

    Returns:
        pytest's exit code; 0 where a laptop lacks what this needs, and 1 where CI does.
    """
    try:
        stack = chosen(os.environ)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if missing := what_is_missing():
        sys.stderr.write(f"the stack cannot be tested here: {missing}\n")
        return 1 if os.environ.get("CI") else 0
    install(emulators(stack))
    if sys.argv[1:] == ["--install"]:
        return 0
    environment = os.environ | {"STACK_INSIDE": str(stack)}
    if stack is not Stack.LICENSED:
        return subprocess.run([*isolation(), *pytest()], env=environment, check=False).returncode
    command = [*isolation(network=False), *pytest()]
    return subprocess.run(command, env=environment, check=False).returncode


def pytest() -> list[str]:
    """Return the command that runs the test."""
    chosen_tests = ["-p", "no:cacheprovider", "-x", "-s", "-v", "--durations=8", "--timeout=1800"]
    return [
        sys.executable,
        "-m",
        "pytest",
        str(ROOT / "tests/stack/test_stack.py"),
        *chosen_tests,
        *sys.argv[1:],
    ]


def isolation(*, network: bool = True) -> list[str]:
    """Return the command before a command that gives it a network and mounts of its own."""
    own = ["unshare", "--mount", *(["--net"] if network else [])]
    return own if os.geteuid() == 0 else [*own, "--user", "--map-root-user"]


def what_is_missing() -> str | None:
    """Return what this machine lacks, if anything. Download Terraform's provider if necessary."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return "it needs Linux's namespaces (`unshare`, of util-linux)"
    tried = subprocess.run([*isolation(), "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"no namespaces here; be root, or allow user namespaces ({tried.stderr.strip()})"
    if find_mirror() is None:
        cache = user_cache_path("retinue", appauthor=False) / "terraform"
        cache.mkdir(parents=True, exist_ok=True)
        os.environ["TF_PLUGIN_CACHE_DIR"] = str(cache)
    try:
        with tempfile.TemporaryDirectory() as folder:
            Terraform(Path(folder)).init("modules/key")
    except TerraformMissingError as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main())
