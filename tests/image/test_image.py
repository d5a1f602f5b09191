"""The container image: what is in it, who it runs as, and that its worker drains a queue."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fakes.waiting import eventually
from image.container import Image, log_lines, terminate
from image.relay import relay
from retinue_cli.local import package_photographs
from retinue_cli.local.endpoint import AwsEndpoint
from retinue_cli.local.resources import is_empty, wire
from retinue_cli.local.upload import upload
from sqlalchemy import make_url

pytestmark = [pytest.mark.image, pytest.mark.timeout(600)]

PHOTOGRAPHS = 3
SITE = "opt/retinue/lib/python3.11/site-packages"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def url_inside(empty_database_url: str) -> Iterator[str]:
    """Yield the URL of an empty database for a user other than root."""
    url = make_url(empty_database_url)
    folder = url.query["host"]
    assert isinstance(folder, str)
    with relay(Path(folder, ".s.PGSQL.5432")) as port:
        by_network = url.set(host="127.0.0.1", port=port).difference_update_query(["host"])
        yield by_network.render_as_string(hide_password=False)


def exported(*groups: str) -> set[str]:
    """Return the distributions that the lock has for some dependency groups, and this platform."""
    uv = Path(sys.executable).parent / "uv"
    listed = subprocess.run(
        [uv, "export", "--frozen", "--no-header", "--no-hashes", "--no-annotate",
         "--no-emit-local", *(f"--only-group={group}" for group in groups)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    names = re.findall(r"^([a-zA-Z0-9_.-]+)==", listed, re.MULTILINE)
    return {name.lower().replace("-", "_") for name in names}


def installed(image: Image) -> set[str]:
    return {
        path.name.rsplit("-", 2)[0].lower().replace("-", "_").replace(".", "_")
        for path in (image.root / SITE).glob("*.dist-info")
    }


def test_it_runs_as_a_number_that_is_not_root(image: Image) -> None:
    assert image.config["User"] == "10001:10001"
    assert image.config["Entrypoint"] == ["/opt/retinue/bin/retinue"]
    assert image.config["Labels"]["org.opencontainers.image.revision"] == "test"


def test_it_holds_what_the_lock_says_and_nothing_else(image: Image) -> None:
    ours = {
        f"retinue_{name}"
        for name in (
            "sdk",
            "aws",
            "history",
            "workers",
            "cli",
            "console",
            "onnx",
            "rekognition",
            "eventbridge",
        )
    }
    found = installed(image)
    assert ours <= found
    others = found - ours
    # Markers of other platforms are in the export and not in the image.
    assert others <= exported("image")
    assert {"boto3", "onnxruntime", "psycopg_binary"} <= others


def test_it_has_no_compiler_no_uv_and_nothing_that_others_may_write(image: Image) -> None:
    tools = {"gcc", "cc", "make", "uv", "git", "hatchling"}
    for folder in ("opt/retinue/bin", "usr/bin", "usr/local/bin"):
        assert not tools & {path.name for path in (image.root / folder).iterdir()}
    owned = [
        str(path)
        for path in (image.root / "opt").rglob("*")
        if not path.is_symlink() and (path.stat().st_uid == 10001 or path.stat().st_mode & 0o022)
    ]
    assert owned == []


def test_it_is_compiled(image: Image) -> None:
    package = image.root / SITE / "retinue_workers"
    sources = {path.stem for path in package.glob("*.py")}
    compiled = {path.name.split(".")[0] for path in (package / "__pycache__").glob("*.pyc")}
    assert sources == compiled


def test_it_knows_the_databases_certificates(image: Image) -> None:
    bundle = (image.root / "etc/ssl/certs/rds-global-bundle.pem").read_text("ascii")
    assert bundle.count("BEGIN CERTIFICATE") > 80


def test_its_worker_drains_a_queue_and_stops_when_told(
    image: Image,
    endpoint: AwsEndpoint,
    empty_database_url: str,
    url_inside: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    code, said = image.run(["migrate"], environment={"RETINUE_DATABASE_URL": url_inside})
    assert code == 0, said
    assert "migrated from an empty database" in said

    wiring = wire(endpoint, "image-test")
    photographs = package_photographs()[:PHOTOGRAPHS]
    upload(endpoint, wiring.bucket, photographs)

    log = tmp_path / "worker.log"
    environment = {
        name: value
        for name, value in endpoint.environment().items()
        if name != "AWS_CONFIG_FILE"  # a file of this machine
    } | {
        "RETINUE_QUEUE_URL": wiring.queue_url,
        "RETINUE_DATABASE_URL": url_inside,
        "RETINUE_DETECTORS": '{"onnx-objects": {}, "onnx-faces": {}}',
        "RETINUE_WAIT_TIME_SECONDS": "1",
        "TMPDIR": "/tmp",
    }
    began = time.time()
    with log.open("w", encoding="utf-8") as file:
        box = image.start(["worker"], environment=environment, output=file)
    try:
        eventually(
            lambda: box.poll() is not None or _runs(empty_database_url) == 2 * PHOTOGRAPHS,
            within_seconds=120,
            what="a run of each detector for each photograph",
        )
        assert box.poll() is None, log.read_text("utf-8")
        eventually(lambda: is_empty(endpoint, wiring), within_seconds=30)
        terminate(box)
        assert box.wait(timeout=60) == 0, log.read_text("utf-8")
    finally:
        box.kill()
        box.wait()
    lines = log_lines(log.read_text("utf-8"))
    events = [line["event"] for line in lines]
    assert events.index("signal_received") < events.index("stopped")
    receiving = next(line for line in lines if line["event"] == "receiving_started")
    seconds = datetime.fromisoformat(receiving["timestamp"]).timestamp() - began
    figures = (
        f"image: built in {image.build_seconds:.0f} s, {image.size_bytes / 1e6:.0f} MB; "
        f"its worker received after {seconds:.1f} s"
    )
    record_property("image", figures)
    sys.stdout.write(f"{figures}\n")


def _runs(url: str) -> int:
    with psycopg.connect(url) as connection:
        row: Any = connection.execute(
            "select count(*) from runs where outcome = 'succeeded'"
        ).fetchone()
    return int(row[0])


def test_what_fetches_the_build_tools_is_the_locks() -> None:
    uv = Path(sys.executable).parent / "uv"
    done = subprocess.run(
        [uv, "export", "--frozen", "--only-group", "build", "--no-header"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (ROOT / "infra/image/build.txt").read_text("utf-8") == done.stdout, "run `make lock`"


def test_the_base_is_pinned_by_digest() -> None:
    text = (ROOT / "infra/image/Dockerfile").read_text("utf-8")
    assert re.search(r"^ARG BASE=\S+:\S+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}", "dependencies"}


def test_the_cuda_variant_differs_in_onnx_runtime_alone() -> None:
    added = exported("image", "cuda") - exported("image")
    assert "onnxruntime_gpu" in added
    others = {name for name in added if not name.startswith("nvidia_")} - {"onnxruntime_gpu"}
    assert others == set()
    text = (ROOT / "infra/image/Dockerfile").read_text("utf-8")
    [options] = re.findall(r'cuda\) variant="([^"]+)"', text)
    uv = Path(sys.executable).parent / "uv"
    said = subprocess.run(
        [uv, "sync", "--frozen", "--dry-run", "--no-default-groups", "--only-group", "image",
         *options.split(), "--no-install-workspace"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    assert " + onnxruntime-gpu" in said
    assert " - onnxruntime=" in said
