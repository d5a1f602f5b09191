"""Versions in S3: uploaded by a training, read by workers by their hash, and promoted."""

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from pydantic import ValidationError
from retinue_onnx.labels import OnnxLabelDetector, OnnxLabelOptions
from retinue_sdk import ConfigurationError, DetectorNotReadyError
from training.conftest import tile

Cli = Callable[..., Result]


@pytest.fixture
def trained(cli: Cli, bucket: tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Train a model with an upload, and return its URI. Copies are kept in ``cache``."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path("cache").absolute()))
    for texture in ("brick", "grass"):
        folder = Path("photos") / texture
        folder.mkdir(parents=True)
        for number in range(8):
            tile(texture, number).save(folder / f"{number}.png")
    train = "models", "train", "ground", "--on", "local", "--from", "photos"
    said = cli(*train, "--output", f"s3://{bucket[1]}/models").stdout
    found = re.search(r"ground/1 is in S3: (s3://\S+)", said)
    assert found is not None
    assert f'"model": "{found[1]}"' in said
    return found[1]


def start(uri: str) -> OnnxLabelDetector:
    detector = OnnxLabelDetector(OnnxLabelOptions(model=uri))
    detector.start()
    return detector


def test_workers_read_a_version_by_its_hash(
    trained: str, cli: Cli, bucket: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, name = bucket
    key = "models/ground/1/model.onnx"
    digest = trained.rpartition("=")[2]
    assert trained == f"s3://{name}/{key}#sha256={digest}"
    card = json.loads(s3.get_object(Bucket=name, Key="models/ground/1/card.json")["Body"].read())
    assert card["sha256"] == digest

    detector = start(trained)
    own = OnnxLabelDetector(OnnxLabelOptions(model=Path("models/ground/1/model.onnx")))
    assert detector.model_version == own.model_version == f"ground-1-{digest[:12]}"
    assert detector.fingerprint() == own.fingerprint()
    [copy] = Path("cache/retinue/models").iterdir()
    assert copy.name == f"{digest}.onnx"

    # Another file in its place is refused, unless a good copy is here.
    s3.put_object(Bucket=name, Key=key, Body=b"hostile")
    start(trained)
    copy.write_bytes(b"hostile")
    with pytest.raises(ConfigurationError, match=r"has the SHA-256 .* so it isn't loaded"):
        start(trained)
    s3.put_object(Bucket=name, Key=key, Body=Path("models/ground/1/model.onnx").read_bytes())
    start(trained)
    assert copy.stat().st_size > 7
    copy.unlink()
    s3.delete_object(Bucket=name, Key=key)
    with pytest.raises(ConfigurationError, match=r"doesn't exist \(NoSuchKey\)"):
        start(trained)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(DetectorNotReadyError, match="can't be read now"):
        start(trained)
    for wrong in (trained.partition("#")[0], trained.upper(), f"{trained}0"):
        with pytest.raises(ValidationError, match="needs its hash"):
            start(wrong)


def test_workers_start_without_a_folder_for_copies(
    trained: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    start(trained)  # and keeps nothing

    def no_home() -> Path:
        """Raise what pathlib raises for a user without a home."""
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    start(trained)
    [copy] = (tmp_path / "retinue" / "models").iterdir()
    assert copy.name == f"{trained.rpartition('=')[2]}.onnx"


def test_a_version_never_changes_and_is_promoted_in_s3(
    trained: str, cli: Cli, bucket: tuple[Any, str]
) -> None:
    s3, name = bucket
    again = "models", "train", "ground", "--on", "local"
    assert f"ground/1 is in S3: {trained}" in cli(*again).stdout, "as for the last version"
    tile("grass", 12).save("photos/grass/12.png")
    second = cli(*again, "--output", f"s3://{name}/elsewhere").stdout
    assert "ground/2 is in S3" in second

    detectors = json.dumps({"onnx-labels": {"model": trained}})
    Path("pool.env").write_text(f"RETINUE_DETECTORS='{detectors}'\n", "utf-8")
    promote = "models", "promote", "ground", "--config", "pool.env"
    cli(*promote, "--force", "a test")
    digest = json.loads(Path("models/ground/2/card.json").read_text("utf-8"))["sha256"]
    model = f"s3://{name}/models/ground/2/model.onnx#sha256={digest}"
    assert Path("pool.env").read_text("utf-8") == (
        f"RETINUE_DETECTORS='{json.dumps({'onnx-labels': {'model': model}})}'\n"
    )
    start(model)
    cli(*promote, "--back")
    assert trained in Path("pool.env").read_text("utf-8")

    other = {"sha256": "0" * 64}
    s3.put_object(Bucket=name, Key="models/ground/2/card.json", Body=json.dumps(other).encode())
    refused = cli(*promote, "--force", "a test", exit_code=1).stderr
    assert "is another model than models/ground/2" in refused
    assert trained in Path("pool.env").read_text("utf-8")
