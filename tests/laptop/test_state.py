import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from retinue_cli.local import LaptopError, State

Start = Callable[[Path, str], AbstractContextManager[Any]]


def test_the_nearest_folder_above_is_found(tmp_path: Path) -> None:
    (tmp_path / ".retinue").mkdir()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert State.find(below).directory == tmp_path.resolve() / ".retinue"


def test_without_one_it_will_be_made_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state = State.find()
    assert state.directory == tmp_path.resolve() / ".retinue"
    assert not state.directory.exists()
    state.prepare()
    state.prepare()
    assert state.annotated.is_dir()
    assert (state.directory / ".gitignore").read_text() == "*\n"


def test_a_file_of_that_name_is_passed_over_and_then_complained_of(tmp_path: Path) -> None:
    (tmp_path / ".retinue").touch()
    state = State.find(tmp_path)
    with pytest.raises(LaptopError, match="cannot write to"):
        state.prepare()


def test_a_second_run_is_refused_and_told_who_holds_the_folder(script: Start, state: State) -> None:
    holding = "with state.lock():\n    say('locked')\n    input()"
    with script(state.directory, holding) as other:
        assert other.hear() == "locked"
        with (
            pytest.raises(LaptopError, match=rf"pid {other.process.pid}\b.*Ctrl-C"),
            state.lock(),
        ):
            pass
        other.kill()
        with state.lock():  # the kernel gave it back
            pass
    assert not (state.directory / "run.pid").exists()


def test_no_two_photographs_share_a_picture(tmp_path: Path) -> None:
    state = State(tmp_path)
    keys = [
        "cat.jpg",
        "cat.JPEG",
        "cat.png",
        "cat-png.jpg",
        "cat.PNG",
        "a/cat.jpg",
        "cat-2.jpg",
        "x",
    ]
    pictures = [state.picture(key).relative_to(state.annotated).as_posix() for key in keys]
    assert len(set(pictures)) == len(keys)
    assert pictures[:4] == ["cat.jpg", "cat.JPEG", "cat-png.jpg", "cat-png-jpg.jpg"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_root_uses_no_folder_that_another_user_could_fill_with_links(tmp_path: Path) -> None:
    trap = tmp_path / ".retinue"
    trap.mkdir()
    os.chown(trap, 65_534, 65_534)
    below = tmp_path / "below"
    below.mkdir()
    assert State.find(below).directory == below.resolve() / ".retinue"
    with pytest.raises(LaptopError, match="belongs to another user"):
        State.find(tmp_path).prepare()
    (below / ".retinue").symlink_to(tmp_path)
    os.lchown(below / ".retinue", 65_534, 65_534)
    deeper = below / "deeper"
    deeper.mkdir()
    assert State.find(deeper).directory == deeper.resolve() / ".retinue"


def test_no_data_is_written_through_a_link(tmp_path: Path) -> None:
    state = State(tmp_path / ".retinue")
    state.directory.mkdir()
    victim = tmp_path / "victim"
    victim.mkdir()
    state.postgres.symlink_to(victim)
    with pytest.raises(LaptopError, match="not a symbolic link"):
        state.prepare()
    assert not list(victim.iterdir())
