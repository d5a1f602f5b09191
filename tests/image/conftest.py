"""The image, built by Buildah from the Dockerfile as it is; only its base stands in for another."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from image.container import Image
from image.tools import ToolsMissingError, base_archive, ensure_tools, run
from retinue_cli.local import Emulator, LaptopError, State
from retinue_cli.local.endpoint import AwsEndpoint

ROOT = Path(__file__).parents[2]
INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL", "UV_HTTP_TIMEOUT",
                   "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")  # fmt: skip
"""How this machine comes by packages, if not straight from PyPI."""


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """Yield the image's CPU variant."""
    try:
        ensure_tools()
    except ToolsMissingError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    folder = Path(tempfile.mkdtemp(prefix="retinue-image-", dir="/var/tmp"))
    try:
        yield _build(folder)
    finally:
        _buildah(folder, "rm", "--all")
        _buildah(folder, "rmi", "--all", "--force")
        shutil.rmtree(folder)


def _build(folder: Path) -> Image:
    base = _buildah(folder, "from", "scratch").strip()
    _buildah(folder, "add", "--quiet", base, base_archive(), "/")
    _buildah(folder, "commit", "--quiet", "--rm", base, "localhost/base:test")

    (folder / "registry").write_text(
        "".join(f"{name}='{os.environ[name]}'\n" for name in INDEX_VARIABLES if name in os.environ),
        encoding="utf-8",
    )
    certificates = os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT")
    secrets = ["--secret", f"id=registry,src={folder / 'registry'}"]
    if certificates:
        secrets += ["--secret", f"id=certificates,src={certificates}"]
    began = time.monotonic()
    _buildah(
        folder, "build", "--quiet", "--tag", "localhost/retinue:test",
        "--file", ROOT / "infra/image/Dockerfile",
        "--build-arg", "BASE=localhost/base:test",
        "--build-arg", "VERSION=0", "--build-arg", "REVISION=test", *secrets, ROOT,
    )  # fmt: skip
    seconds = time.monotonic() - began
    about = json.loads(_buildah(folder, "inspect", "--type", "image", "localhost/retinue:test"))
    [listed] = json.loads(_buildah(folder, "images", "--json", "localhost/retinue:test"))
    container = _buildah(folder, "from", "localhost/retinue:test").strip()
    root = Path(_buildah(folder, "mount", container).strip())
    megabytes = {"KB": 1e3, "MB": 1e6, "GB": 1e9}
    number, unit = str(listed["size"]).split()
    return Image(root, about["OCIv1"]["config"], int(float(number) * megabytes[unit]), seconds)


def _buildah(folder: Path, *arguments: str | Path) -> str:
    return run(
        ["buildah", "--root", folder / "storage", "--runroot", folder / "run",
         *arguments],
        BUILDAH_ISOLATION="chroot",
    )  # fmt: skip


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsEndpoint]:
    try:
        emulator = Emulator(State(tmp_path_factory.mktemp("emulator") / ".retinue"))
        with emulator:
            yield emulator.endpoint
    except LaptopError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no network for the emulator: {error}")
