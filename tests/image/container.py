"""An image started the way ECS does: its own user, a read-only root, no capabilities, process 1."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

BOX = """
set -e
root=$1; user=$2; group=$3; shift 3
mount --bind "$root" "$root"
mount -o remount,ro,bind "$root"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount --bind /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
exec chroot "$root" setpriv --reuid="$user" --regid="$group" --clear-groups \
    --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""
"""A box of namespaces. It ends when its first process does, and the mounts end with it."""


@dataclass(frozen=True)
class Image:
    """An image that was built.

    Attributes:
        root: Its files.
        config: What it says about user, entry point and variables (OCI's image configuration).
        size_bytes: How large its layers are, unpacked.
        build_seconds: How long it took to build.
    """

    root: Path
    config: Mapping[str, Any]
    size_bytes: int
    build_seconds: float

    def start(
        self,
        command: list[str],
        *,
        environment: Mapping[str, str],
        output: IO[Any] | int = subprocess.PIPE,
    ) -> "subprocess.Popen[str]":
        """Start a command of its entry point; the process that is returned is the box around it."""
        user, _, group = self.config["User"].partition(":")
        own = dict(line.split("=", 1) for line in self.config["Env"])
        return subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", BOX, "box",
             self.root, user, group, *self.config["Entrypoint"], *command],
            env=own | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip

    def run(self, command: list[str], *, environment: Mapping[str, str]) -> tuple[int, str]:
        """Run a command to its end: exit code and what it prints."""
        with self.start(command, environment=environment) as process:
            said, _ = process.communicate(timeout=60)
            return process.returncode, said


def terminate(box: "subprocess.Popen[str]") -> None:
    """SIGTERM for process 1 in the box, as ECS sends it."""
    children = Path(f"/proc/{box.pid}/task/{box.pid}/children").read_text("ascii").split()
    [first] = children
    os.kill(int(first), signal.SIGTERM)


def log_lines(text: str) -> list[dict[str, Any]]:
    """Return the JSON lines in a log."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
