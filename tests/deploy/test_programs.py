"""The container builder, git, and the journal: real programs, or scripts that stand in for them."""

import io
import os
import shlex
import signal
import stat
import subprocess
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from retinue_deploy.base import pin_base
from retinue_deploy.builder import Builder, find_builder
from retinue_deploy.errors import DeployError, ProgramError
from retinue_deploy.journal import Journal
from retinue_deploy.ports import Signer
from retinue_deploy.programs import Programs
from retinue_deploy.signature import Cosign
from retinue_deploy.source import CONTEXT, image_tag, revision

ROOT = Path(__file__).parents[2]
SECRET = "a-registry-password"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "logs", "deploy", io.StringIO())


def script(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


def test_a_password_is_neither_an_argument_nor_in_the_log(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    place = script(tmp_path / "bin", "podman", f'echo "$@" >> {seen}; cat >> {seen}.stdin')
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    builder = Builder(Programs(journal), "podman", ROOT, tmp_path / "scratch", {})
    builder.login("1.dkr.ecr.eu-west-1.amazonaws.com", "AWS", SECRET)
    assert SECRET not in seen.read_text("utf-8")
    assert (tmp_path / "seen.stdin").read_text("utf-8") == SECRET
    assert SECRET not in journal.path.read_text("utf-8")


def test_a_mirror_and_its_certificates_go_to_the_build_as_secrets(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, authorities = tmp_path / "seen", tmp_path / "ca.pem"
    authorities.touch()
    place = script(
        tmp_path / "bin",
        "buildah",
        f'echo "$@" >> {seen}; cp -p {tmp_path}/scratch/registry {tmp_path}',
    )
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    index = f"https://me:{SECRET}'; touch x; '@mirror/simple"
    given = {"UV_DEFAULT_INDEX": index, "PIP_CERT": str(authorities)}
    builder = Builder(Programs(journal), "buildah", ROOT, tmp_path / "scratch", given)
    builder.build("host/retinue:1", "cuda", "abc")
    said = seen.read_text("utf-8")
    assert SECRET not in said
    assert "--build-arg=VARIANT=cuda" in said
    assert f"--build-arg=VERSION={version('retinue-cli')}" in said
    assert f"id=certificates,src={authorities}" in said
    given_to_shell = (tmp_path / "registry").read_text("utf-8")
    assert shlex.split(given_to_shell) == [f"UV_DEFAULT_INDEX={index}"]
    assert (tmp_path / "registry").stat().st_mode & 0o077 == 0
    assert not (tmp_path / "scratch/registry").exists()


def test_docker_counts_only_with_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = script(tmp_path / "bin", "docker", "exit 1")
    monkeypatch.setenv("PATH", str(place))
    assert find_builder() is None
    script(place, "buildah", "exit 0")
    assert find_builder() == "buildah"
    script(place, "docker", "exit 0")
    assert find_builder() == "docker"


def test_a_program_that_fails_shows_the_end_of_what_it_said(journal: Journal) -> None:
    with pytest.raises(ProgramError, match=r"exit code 3:\n(.|\n)*    40$") as failure:
        Programs(journal).run(["sh", "-c", "seq 40; exit 3"], folder=ROOT)
    assert "    15\n" not in str(failure.value)
    assert "\n15\n" in journal.path.read_text("utf-8")


def test_ctrl_c_waits_for_the_program_to_end(journal: Journal, tmp_path: Path) -> None:
    interrupt = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        Programs(journal).run(["sh", "-c", "sleep 1; touch ended"], folder=tmp_path)
    interrupt.join()
    assert (tmp_path / "ended").exists()


def test_what_names_the_image_is_what_goes_into_it() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert allowed - {"infra", "infra/deploy"} == set(CONTEXT) - {".dockerignore"}


def test_a_step_has_one_line_with_its_duration(tmp_path: Path) -> None:
    out = io.StringIO()
    journal = Journal(tmp_path / "logs", "deploy", out)
    with journal.step("plan"):
        pass
    with pytest.raises(DeployError), journal.step("apply"):
        raise DeployError("no")
    assert out.getvalue() == "✓ plan  (0.0 s)\n✗ apply  (0.0 s)\n"
    assert journal.path.stat().st_mode & 0o077 == 0


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a small repository with one commit."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "clone"
    (folder / "sdk").mkdir(parents=True)
    (folder / "docs").mkdir()
    (folder / "sdk/a.py").write_text("a", encoding="utf-8")
    author = ["-c", "user.name=a", "-c", "user.email=a@a"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "a"]):
        subprocess.run(["git", "-C", folder, *command], check=True)
    return folder


def test_the_tag_names_the_sources(clone: Path) -> None:
    clean = image_tag(clone)
    assert clean == revision(clone)
    (clone / "docs/page.md").write_text("not in the image", encoding="utf-8")
    assert image_tag(clone) == clean
    (clone / "sdk/a.py").write_text("b", encoding="utf-8")
    changed = image_tag(clone)
    assert changed.startswith(f"{clean}-")
    assert image_tag(clone) == changed
    (clone / "sdk/new.py").write_text("c", encoding="utf-8")
    added = image_tag(clone)
    (clone / "sdk/new.py").write_text("d", encoding="utf-8")
    assert len({clean, changed, added, image_tag(clone)}) == 4
    (clone / "sdk/new.py").unlink()
    (clone / "sdk/a.py").write_text("a", encoding="utf-8")
    assert image_tag(clone) == clean


def test_no_repository_no_tag(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="deploy from a clone"):
        image_tag(tmp_path)


def test_the_base_is_pinned_anew_and_nothing_else_changes(tmp_path: Path) -> None:
    text = (ROOT / "infra/image/Dockerfile").read_text("utf-8")
    copy = tmp_path / "Dockerfile"
    copy.write_text(text, encoding="utf-8")
    new = "sha256:" + "0" * 64
    asked = []

    def ask(name: str, tag: str) -> str:
        asked.append((name, tag))
        return new

    before, after = pin_base(copy, ask)
    assert after == new
    assert asked == [("library/python", "3.11-slim-bookworm")]
    assert copy.read_text("utf-8") == text.replace(before, new)
    with pytest.raises(DeployError, match="not a digest"):
        pin_base(copy, lambda *_: "latest")
    copy.write_text("FROM scratch", encoding="utf-8")
    with pytest.raises(DeployError, match="no line ARG BASE"):
        pin_base(copy, ask)


def test_a_long_program_shows_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retinue_deploy.programs.TELL_SECONDS", 0.0)
    shown = io.StringIO()
    journal = Journal(tmp_path / "logs", "deploy", shown)
    place = script(tmp_path / "bin", "slow", "echo still at it; echo")
    assert Programs(journal).run([place / "slow"], folder=tmp_path) == "still at it\n\n"
    assert shown.getvalue() == "  … still at it\n"
    assert journal.path.read_text("utf-8").count("still at it") == 1


def test_cosign_verifies_the_digest_of_each_variant_and_hides_the_password(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OneRegistry:
        def credentials(self) -> tuple[str, str, str]:
            return "host", "AWS", SECRET

        def reference(self, tag: str, variant: str) -> str:
            return f"host/retinue@sha256:{tag}-{variant}"

    seen = tmp_path / "seen"
    body = f'echo "$@" >> {seen}; case "$*" in *bad*) echo no matching signatures; exit 1;; esac'
    place = script(tmp_path / "bin", "cosign", body)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    registry: Any = OneRegistry()
    cosign = Cosign(Programs(journal), registry, ROOT)
    signer = Signer("https://workflow", "https://issuer")
    cosign.sign("1", ["cpu"], tmp_path / "sbom.json")
    cosign.verify("1", ["cpu", "cuda"], signer)
    said = seen.read_text("utf-8")
    assert SECRET not in said
    identity = "--certificate-identity https://workflow --certificate-oidc-issuer https://issuer"
    assert f"verify {identity} host/retinue@sha256:1-cuda\n" in said
    assert "sign --yes host/retinue@sha256:1-cpu\n" in said
    with pytest.raises(DeployError, match=r"no signature by https://workflow(.|\n)*no matching"):
        cosign.verify("bad", ["cpu"], signer)
