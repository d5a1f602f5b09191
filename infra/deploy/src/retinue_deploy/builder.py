"""Build and push the image with Docker, Podman or Buildah."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from retinue_deploy.programs import Programs
from retinue_deploy.source import project_version

DOCKERFILE = "infra/image/Dockerfile"
PLATFORMS = {"cpu": "linux/amd64", "arm64": "linux/arm64", "cuda": "linux/amd64"}
"""The platform of each variant, as in the task definitions (``arm64`` in modules/task)."""

REGISTRY_VARIABLES = ("UV_DEFAULT_INDEX", "PIP_INDEX_URL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""Variables for a company's package mirror, passed to the build as a secret."""


def find_builder(*, which: str | None = None) -> str | None:
    """Return the name of a working container builder, if any.

    Docker works only with an engine that answers.

    Args:
        which: Finds programs. The default searches PATH.
    """
    for name in ("docker", "podman", "buildah"):
        if shutil.which(name, path=which) and (name != "docker" or _engine_answers()):
            return name
    return None


def _engine_answers() -> bool:
    try:
        done = subprocess.run(
            ["docker", "version"],  # noqa: S607 - from PATH, as the operator would
            capture_output=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


class Builder:
    """Builds and pushes.

    Args:
        programs: Runs the builder.
        program: Its name: docker, podman or buildah.
        root: The repository.
        scratch: A folder for the secrets of a build.
        environment: The environment with registry variables.
    """

    def __init__(
        self,
        programs: Programs,
        program: str,
        root: Path,
        scratch: Path,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._programs = programs
        self._program = program
        self._root = root
        self._scratch = scratch
        self._given = environment
        self._registry_file = scratch / "registry"

    def build(self, name: str, variant: str, revision: str) -> None:
        """Build a variant of the image, labelled with Retinue's version.

        Args:
            name: Its name: registry, repository and tag.
            variant: ``cpu``, ``arm64`` or ``cuda``.
            revision: The commit, for its label.
        """
        version = project_version(self._root)
        contents = "cuda" if variant == "cuda" else "cpu"
        arguments = {"VARIANT": contents, "VERSION": version, "REVISION": revision}
        try:
            self._run(
                "build", "--platform", PLATFORMS[variant], "--file", DOCKERFILE, "--tag", name,
                *(f"--build-arg={key}={value}" for key, value in arguments.items()),
                *([] if self._program == "docker" else ["--layers"]),
                *self._secrets(),
                ".",
            )  # fmt: skip
        finally:
            self._registry_file.unlink(missing_ok=True)

    def login(self, host: str, user: str, password: str) -> None:
        """Sign in to a registry.

        The password is passed over stdin, which process lists don't show.
        """
        self._programs.run(
            [self._program, "login", "--username", user, "--password-stdin", host],
            folder=self._root,
            secret=password,
        )

    def push(self, name: str) -> None:
        """Push an image that was built here."""
        self._run("push", name)

    def _secrets(self) -> Sequence[str]:
        self._scratch.mkdir(parents=True, exist_ok=True)
        file = self._registry_file
        file.unlink(missing_ok=True)
        file.touch(mode=0o600, exist_ok=False)
        lines = [
            f"{name}={shlex.quote(self._given[name])}\n"  # a shell reads it
            for name in REGISTRY_VARIABLES
            if name in self._given
        ]
        file.write_text("".join(lines), encoding="utf-8")
        secrets = ["--secret", f"id=registry,src={file}"]
        certificates = self._given.get("SSL_CERT_FILE") or self._given.get("PIP_CERT")
        if certificates and Path(certificates).is_file():
            secrets += ["--secret", f"id=certificates,src={certificates}"]
        return secrets

    def _run(self, *arguments: str) -> None:
        self._programs.run(
            [self._program, *arguments], folder=self._root, environment={"DOCKER_BUILDKIT": "1"}
        )
