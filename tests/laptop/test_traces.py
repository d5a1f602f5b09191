import json
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st
from retinue_cli.local.state import State
from retinue_cli.local.traces import remove_traces

KEY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=3)


def test_pictures_and_lines_of_logs_go_and_others_stay(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.prepare()
    for key in ("ann/a.jpg", "ann/b.jpg", "cat.png"):
        state.picture(key).parent.mkdir(exist_ok=True)
        state.picture(key).touch()
    ann, cat, unseen = uuid4(), uuid4(), uuid4()
    (state.logs / "worker.log").write_text(f"1 ann/a.jpg\n2 {cat}\n3 cat.gif\n4 {ann}")
    (state.postgres / "server.log").write_text("5\n6 cat.png\n")
    for image_id in (ann, other := uuid4()):
        (state.pictures / image_id.hex[:2]).mkdir(parents=True, exist_ok=True)
        (state.pictures / image_id.hex[:2] / f"{image_id}.thumbnail").touch()
    forgotten: dict[UUID, str] = {ann: "ann/a.jpg", cat: "cat.png", unseen: "other/c.jpg"}
    assert remove_traces(state, forgotten) == (3, 4)
    assert [file.stem for file in state.pictures.glob("*/*")] == [str(other)]
    assert sorted(path.name for path in state.annotated.rglob("*")) == ["ann", "b.jpg"]
    assert (state.logs / "worker.log").read_text() == "3 cat.gif\n"
    assert (state.postgres / "server.log").read_text() == "5\n"
    assert remove_traces(state, forgotten) == (0, 0)
    assert remove_traces(state, {uuid4(): "ann/b.jpg"}) == (1, 0)
    assert list(state.annotated.iterdir()) == [], "no folder is left with nobody's name"


def test_pictures_of_a_video_go_and_those_of_photographs_beside_it_stay(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.prepare()
    pictures = [state.frames(key) / "00001.000.jpg" for key in ("a/b.c.mp4", "a/b-c.mp4")]
    pictures += [state.frames("a/b.c.mp4") / "00002.500.jpg", state.picture("a/b-c-mp4/d.jpg")]
    for picture in pictures:
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.touch()
    assert remove_traces(state, {uuid4(): "a/b.c.mp4"}) == (2, 0)
    assert [picture.exists() for picture in pictures] == [False, True, False, True]
    assert not state.frames("a/b.c.mp4").exists()


@given(key=KEY)
def test_a_key_is_found_however_a_log_writes_it(key: str) -> None:
    with TemporaryDirectory() as folder:
        state = State(Path(folder))
        state.prepare()
        lines = [json.dumps({"key": key}), f"GET /bucket/{quote(key)}"]
        (state.logs / "a.log").write_bytes("\n".join([*lines, "-"]).encode())
        assert remove_traces(state, {uuid4(): key}) == (0, 2)
