import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retinue_cli.local import (
    LaptopError,
    Photograph,
    folder_photographs,
    package_photographs,
    photographs,
)

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


def test_the_packages_photographs_are_found_without_importing_them() -> None:
    program = (
        "import sys; from retinue_cli.local import package_photographs;"
        "print(len(package_photographs()),"
        " {'skimage', 'sklearn', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout
    assert said == b"9 set()\n"
    found = package_photographs()
    assert len({photograph.key for photograph in found}) == len(found)
    assert "astronaut.png" in [photograph.key for photograph in found]


def test_without_any_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(photographs, "_PACKAGES", {"no_such_package": ("a.png",)})
    with pytest.raises(LaptopError, match="scikit-image"):
        package_photographs()


def test_images_are_found_by_suffix_in_order_and_the_rest_is_counted(tmp_path: Path) -> None:
    make(tmp_path, "b.JPG", "a/z.webp", "a/y.TiFf", "c.jpeg", "notes.txt", "README", "d.jpg.bak")
    make(tmp_path, ".hidden.jpg", ".git/inside.png", "jpg", ".jpg")
    found = folder_photographs(tmp_path)
    assert [p.key for p in found.photographs] == ["a/y.TiFf", "a/z.webp", "b.JPG", "c.jpeg"]
    assert found.others == 4
    assert not found.skipped


def test_links_are_followed_but_not_around_in_circles(tmp_path: Path) -> None:
    make(tmp_path, "real/a.png", "outside/b.png")
    folder = tmp_path / "real"
    (folder / "loop").symlink_to(folder)
    (folder / "aside").symlink_to(tmp_path / "outside")
    (folder / "aside too").symlink_to(tmp_path / "outside")
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "dangling.png").symlink_to("nowhere")
    (folder / "link.png").symlink_to(folder / "a.png")
    found = folder_photographs(folder)
    assert sorted(p.key for p in found.photographs) == ["a.png", "aside/b.png", "link.png"]
    assert sorted(s.path.name for s in found.skipped) == ["dangling.png", "self.png"]


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
    with pytest.raises(LaptopError, match="suffix: jpg jpeg png webp gif bmp tif tiff"):
        folder_photographs(tmp_path)
    make(tmp_path, "notes.txt")
    with pytest.raises(LaptopError, match="no image that can be used, among 1 other"):
        folder_photographs(tmp_path / "notes.txt")
    with pytest.raises(LaptopError, match="cannot be read"):
        folder_photographs(tmp_path / ("x" * 300))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=5))
def test_keys_are_the_names_as_they_are(
    names: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("names")
    wanted = sorted({f"folder {upper}/{lower}.png" for upper, lower in names})
    make(folder, *wanted)
    assert sorted(keys(folder)) == wanted
