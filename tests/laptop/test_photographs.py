import io
import os
from pathlib import Path

import pytest
from fakes.examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retinue_cli.local import (
    LaptopError,
    Photograph,
    folder_photographs,
    package_photographs,
)
from retinue_cli.local.folders import Folders
from retinue_cli.local.photographs import passed_over
from retinue_cli.local.run import find
from retinue_sdk import DetectorSession, Findings, Image
from retinue_sdk.plugins.manager import Plugins
from rich.console import Console

NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=60
).filter(lambda name: len(name.encode()) <= 240 and not name.startswith("."))


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def keys(folder: Path) -> list[str]:
    return [photograph.key for photograph in folder_photographs(folder).photographs]


def test_detectors_find_something_in_each_of_the_packages_photographs() -> None:
    found = package_photographs()
    assert len(found) == 5
    [objects] = Plugins().make({"onnx-objects": {}})
    with DetectorSession(objects) as session:
        for photograph in found:
            [findings] = session.detect([Image.from_file(photograph.path)])
            assert isinstance(findings, Findings)
            assert findings.detections, photograph.key


def test_images_are_found_by_suffix_in_order_and_the_rest_is_counted(tmp_path: Path) -> None:
    make(tmp_path, "b.JPG", "a/z.webp", "a/y.TiFf", "c.jpeg", "p.HEIC", "q.heif", "r.avif")
    make(tmp_path, ".hidden.jpg", ".git/inside.png", "jpg", ".jpg", "d.jpg.bak", "README")
    make(tmp_path, "notes.txt", "a/1.mov", "2.MP4", "3.mov", "4.mkv", "raw.CR2", "logo.svg")
    found = folder_photographs(tmp_path)
    names = ["a/y.TiFf", "a/z.webp", "b.JPG", "c.jpeg", "p.HEIC", "q.heif", "r.avif"]
    videos = ["2.MP4", "3.mov", "4.mkv", "a/1.mov"]
    assert [p.key for p in found.photographs] == sorted(names + videos)
    assert [p.key for p in found.photographs if p.is_video] == videos
    assert not found.skipped
    assert passed_over(found.others) == (
        "passed over: 1 document (notes.txt); 2 hidden files (.hidden.jpg, .jpg); "
        "1 hidden folder (.git); 3 other files (README, d.jpg.bak, jpg); "
        "1 other picture (logo.svg); 1 raw photograph (raw.CR2)"
    )


def test_a_file_that_is_reached_twice_counts_once(tmp_path: Path) -> None:
    make(tmp_path, "root/real/a.png", "outside/b.png")
    root = tmp_path / "root"
    folder = root / "real"
    (root / "a link.png").symlink_to(folder / "a.png")
    (root / "before").symlink_to(folder)
    (folder / "loop").symlink_to(root)
    (folder / "up").symlink_to(tmp_path)
    (folder / "aside").symlink_to(tmp_path / "outside")
    (folder / "aside too").symlink_to(tmp_path / "outside")
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "dangling.png").symlink_to("nowhere")
    (folder / "hard.png").hardlink_to(folder / "a.png")
    found = folder_photographs(root)
    assert sorted(p.key for p in found.photographs) == ["real/a.png", "real/aside/b.png"]
    assert sorted(s.path.name for s in found.skipped) == ["dangling.png", "self.png"]
    assert {(s.path.name, s.reason) for s in found.repeated} == {
        ("a link.png", "is real/a.png"),
        ("hard.png", "is real/a.png"),
        ("before", "is real"),
        ("loop", "is the folder itself"),
        ("up", "is a folder above this one"),
        ("aside too", "is real/aside"),
    }


def test_what_s3_cannot_name_is_reported(tmp_path: Path) -> None:
    make(tmp_path, "fine.png")
    with os.fdopen(os.open(os.fsencode(tmp_path) + b"/caf\xe9.png", os.O_CREAT | os.O_WRONLY)):
        pass
    deep = "/".join(["é" * 100] * 5)  # 1,004 bytes
    make(tmp_path, f"{deep}/{'x' * 15}.png", f"{deep}/{'x' * 16}.png")
    os.mkfifo(tmp_path / "pipe.png")
    found = folder_photographs(tmp_path)
    assert sorted(len(p.key.encode()) for p in found.photographs) == [8, 1024]
    reasons = " | ".join(sorted(s.reason for s in found.skipped))
    assert "not valid UTF-8" in reasons
    assert "1,025 bytes" in reasons
    assert "not a regular file" in reasons


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_reported(tmp_path: Path) -> None:
    make(tmp_path, "fine.png", "secret.png", "closed/a.png")
    (tmp_path / "secret.png").chmod(0)
    (tmp_path / "closed").chmod(0)
    try:
        found = folder_photographs(tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert [s.path.name for s in found.skipped] == ["closed", "secret.png"]


def test_one_file_is_accepted(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b.png")
    found = folder_photographs(tmp_path / "a.png")
    assert found.photographs == (Photograph(tmp_path / "a.png", "a.png"),)


def test_nothing_to_find_is_an_error_that_says_what_counts(tmp_path: Path) -> None:
    with pytest.raises(LaptopError, match=r"no folder or file .*/missing"):
        folder_photographs(tmp_path / "missing")
    with pytest.raises(LaptopError, match=r"no folder or file https:.*; download it first"):
        folder_photographs(Path("https://example.com/a.jpg"))
    with pytest.raises(LaptopError, match=r"; `retinue backfill` processes"):
        folder_photographs(Path("s3://bucket/photos"))
    with pytest.raises(LaptopError, match="suffix: jpg jpeg png webp gif bmp tif tiff heic heif"):
        folder_photographs(tmp_path)
    make(tmp_path, "notes.txt")
    with pytest.raises(LaptopError, match=r"notes.txt is not an image"):
        folder_photographs(tmp_path / "notes.txt")
    with pytest.raises(LaptopError, match=r"passed over: 1 document \(notes.txt\)"):
        folder_photographs(tmp_path)
    with pytest.raises(LaptopError, match="no folder or file"):
        folder_photographs(tmp_path / ("x" * 300))
    (tmp_path / "gone.png").symlink_to("nowhere")
    with pytest.raises(LaptopError, match=r"gone.png cannot be read: the link is broken"):
        folder_photographs(tmp_path / "gone.png")


def test_the_shells_list_of_a_folders_files_is_what_the_folder_is(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "notes.txt", "b/c.png", "b/more.txt")
    (tmp_path / "gone.png").symlink_to("nowhere")
    output = io.StringIO()
    console = Console(file=output, width=100)
    listed = sorted(tmp_path.iterdir())
    found = find([*listed, tmp_path / "b", tmp_path], Folders(tmp_path / "names"), console)
    assert [each.path.name for each in found.photographs] == ["a.png", "c.png"]
    assert [(one.path.name, one.reason) for one in found.skipped] == [
        ("gone.png", "the link is broken")
    ]
    assert output.getvalue() == "passed over: 2 documents (more.txt, notes.txt)\n"
    with pytest.raises(LaptopError, match=r"there is no image in .*notes.txt, .*more.txt\n"):
        find(
            [tmp_path / "notes.txt", tmp_path / "b/more.txt"], Folders(tmp_path / "names"), console
        )
    with pytest.raises(LaptopError, match=r"no folder or file .*typo.png"):
        find([tmp_path / "a.png", tmp_path / "typo.png"], Folders(tmp_path / "names"), console)


@settings(max_examples=examples(0.4), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=5))
def test_keys_are_the_names_as_they_are(
    names: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("names")
    wanted = sorted({f"folder {upper}/{lower}.png" for upper, lower in names})
    make(folder, *wanted)
    assert sorted(keys(folder)) == wanted
