"""Pin the image's base to a digest, and update it."""

import json
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path

from retinue_deploy.errors import DeployError

_PINNED = re.compile(
    r"^ARG BASE=[^/\s]+/(?P<name>[^:\s]+):(?P<tag>[^@\s]+)@(?P<digest>sha256:[0-9a-f]{64})$",
    re.MULTILINE,
)
_KINDS = ("application/vnd.oci.image.index.v1+json, "
          "application/vnd.docker.distribution.manifest.list.v2+json")  # fmt: skip
_TIMEOUT_SECONDS = 30


def newest_base(name: str, tag: str) -> str:
    """Return a tag's current digest on Docker Hub.

    Args:
        name: Such as ``library/python``.
        tag: Such as ``3.11-slim-bookworm``.

    Raises:
        DeployError: Docker Hub can't be reached, or doesn't have the tag.
    """
    sign_in = (
        f"https://auth.docker.io/token?service=registry.docker.io&scope=repository:{name}:pull"
    )
    try:
        with urllib.request.urlopen(sign_in, timeout=_TIMEOUT_SECONDS) as answer:
            token = json.load(answer)["token"]
        request = urllib.request.Request(
            f"https://registry-1.docker.io/v2/{name}/manifests/{tag}",
            method="HEAD",
            headers={"Authorization": f"Bearer {token}", "Accept": _KINDS},
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            return str(answer.headers["Docker-Content-Digest"])
    except (OSError, ValueError, KeyError) as error:
        raise DeployError(f"Docker Hub returned no digest for {name}:{tag}: {error}") from error


def pin_base(dockerfile: Path, ask: Callable[[str, str], str]) -> tuple[str, str]:
    """Write the current digest into the Dockerfile.

    Args:
        dockerfile: The Dockerfile, which pins a base in its line ``ARG BASE=``.
        ask: Returns the current digest for name and tag.

    Returns:
        The digest before, and after.

    Raises:
        DeployError: The file pins no base, or the answer isn't a digest.
    """
    text = dockerfile.read_text(encoding="utf-8")
    found = _PINNED.search(text)
    if found is None:
        raise DeployError(f"{dockerfile} has no line ARG BASE=HOST/NAME:TAG@sha256:…")
    after = ask(found["name"], found["tag"])
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", after):
        raise DeployError(f"not a digest: {after!r}")
    begin, end = found.span("digest")
    dockerfile.write_text(text[:begin] + after + text[end:], encoding="utf-8")
    return found["digest"], after
