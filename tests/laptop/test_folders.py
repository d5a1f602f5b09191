from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from retinue_cli.local.folders import Folders

PLACES = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(
    lambda names: Path("/", *names)
)


def test_folders_of_one_name_go_by_more_of_their_paths(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "folders.json")
    for root, key in (
        ("/home/ann/holiday", "holiday/IMG_7.jpg"),
        ("/home/ben/holiday", "ben/holiday/IMG_7.jpg"),
        ("/home/ann/holiday/day 1", "holiday/day 1/IMG_7.jpg"),
        ("/home/ann", "ann/IMG_7.jpg"),
        ("/ann", "ann-2/IMG_7.jpg"),
        ("/", "files/IMG_7.jpg"),
        ("/srv", "files/srv/IMG_7.jpg"),
    ):
        assert folders.add(Path(root))(Path(root, "IMG_7.jpg")) == key
        assert folders.is_renamed(Path(root)) == (root in ("/home/ben/holiday", "/ann"))
    again = folders.add(Path("/home/ann"))
    assert again(Path("/home/ann/holiday/IMG_7.jpg")) == "holiday/IMG_7.jpg", "a file has one key"


@given(roots=st.lists(PLACES, min_size=1, max_size=6))
def test_a_file_has_one_key_and_a_key_one_file(roots: list[Path]) -> None:
    folders = Folders(Path("/nonexistent/folders.json"))
    files: dict[str, Path] = {}
    keys: dict[Path, str] = {}
    for root in roots:
        key_of = folders.add(root)
        for below in ("x.jpg", "a/x.jpg", "b/a/x.jpg"):
            file = root / below
            key = key_of(file)
            assert folders.path(key) == file
            assert files.setdefault(key, file) == file
            assert keys.setdefault(file, key) == key


def test_names_are_kept(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "folders.json")
    folders.add(Path("/x/a"))
    folders.save()
    later = Folders(tmp_path / "folders.json")
    assert later.add(Path("/y/a"))(Path("/y/a/1.png")) == "y/a/1.png"
    assert later.path("a/1.png") == Path("/x/a/1.png")
    assert later.path("b/1.png") is None
