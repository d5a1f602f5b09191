"""``retinue models get`` against a server, and ``retinue models verify`` with the bundled model."""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result
from retinue_cli.app import retinue
from retinue_cli.data.model_files import PUBLISHED, download

DATA = bytes(range(256)) * 4_000
SHA256 = hashlib.sha256(DATA).hexdigest()


@dataclass
class Server:
    """A server of one file.

    Attributes:
        url: The file.
        ends_after: Bytes after which each answer is cut.
        takes_ranges: Whether it continues a download.
        asked: The ranges and paths of the requests.
    """

    url: str = ""
    ends_after: int = len(DATA)
    takes_ranges: bool = True
    asked: list[tuple[str | None, str]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((wanted, self.path))
            if not self.path.endswith("/model.onnx"):
                self.send_error(404)
                return
            start = int(wanted[6:-1]) if wanted and state.takes_ranges else 0
            if start >= len(DATA):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(DATA)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
            self.send_header("Content-Length", str(len(DATA) - start))
            self.end_headers()
            self.wfile.write(DATA[start : start + state.ends_after])

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        state.url = f"http://127.0.0.1:{http.server_port}/model.onnx"
        yield state
        http.shutdown()


Get = Callable[..., Result]


@pytest.fixture
def get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Get:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def call(url: str, sha256: str = SHA256) -> Result:
        output = tmp_path / "models" / "mine.onnx"
        words = ["models", "get", "mine", "--url", url, "--sha256", sha256, "--output", str(output)]
        return CliRunner().invoke(retinue, words)

    return call


def kept(tmp_path: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in (tmp_path / "models").iterdir()}


def test_a_file_is_downloaded_once(server: Server, get: Get, tmp_path: Path) -> None:
    for _ in range(2):
        result = get(server.url, SHA256.upper())
        assert result.exit_code == 0, result.output
        assert SHA256 in result.output
        assert (tmp_path / "models" / "mine.onnx").read_bytes() == DATA
    assert kept(tmp_path) == {"mine.onnx": len(DATA)}
    assert len(server.asked) == 1


def test_an_interrupted_download_continues(server: Server, get: Get, tmp_path: Path) -> None:
    server.ends_after = 300_000
    failed = get(server.url)  # three times, and then it gives up
    assert failed.exit_code == 1
    assert "run the command again to continue" in failed.output
    assert kept(tmp_path) == {"mine.onnx.part": 900_000}
    server.ends_after = len(DATA)
    assert get(server.url).exit_code == 0
    assert [asked for asked, _ in server.asked] == [
        None, "bytes=300000-", "bytes=600000-", "bytes=900000-",
    ]  # fmt: skip
    assert kept(tmp_path) == {"mine.onnx": len(DATA)}


def test_downloads_at_the_same_time_share_the_file(server: Server, tmp_path: Path) -> None:
    destination = tmp_path / "mine.onnx"

    def get_it(_: int) -> int:
        received: list[int] = []
        download(server.url, destination, sha256=SHA256, advance=received.append)
        return sum(received)

    with ThreadPoolExecutor(8) as threads:
        received = list(threads.map(get_it, range(8)))
    assert sorted(received) == [0] * 7 + [len(DATA)]
    assert destination.read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["mine.onnx"]


def test_a_server_without_ranges_sends_all_of_it_again(
    server: Server, get: Get, tmp_path: Path
) -> None:
    server.takes_ranges = False
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.onnx.part").write_bytes(b"half")
    assert get(server.url).exit_code == 0
    assert (tmp_path / "models" / "mine.onnx").read_bytes() == DATA


@pytest.mark.parametrize(
    ("part", "exit_code"), [(DATA, 0), (DATA + b"more", 0), (b"x" + DATA[1:], 1)]
)
def test_what_is_there_already_is_checked(
    server: Server, get: Get, tmp_path: Path, part: bytes, exit_code: int
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.onnx.part").write_bytes(part)
    assert get(server.url).exit_code == exit_code
    assert kept(tmp_path) == ({} if exit_code else {"mine.onnx": len(DATA)})


def test_another_file_is_refused(server: Server, get: Get, tmp_path: Path) -> None:
    wrong = get(server.url, "0" * 64)
    assert (wrong.exit_code, kept(tmp_path)) == (1, {})
    assert f"has SHA-256 {SHA256} instead of {'0' * 64}:" in wrong.output
    (tmp_path / "models" / "mine.onnx").write_bytes(b"mine")
    assert "is another file" in get(server.url).output
    assert (tmp_path / "models" / "mine.onnx").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("{url}x", "answers 404"),
        ("http://127.0.0.1:1/model.onnx", "refused"),
        ("file:///etc/passwd", "must begin with https:// or http://"),
    ],
)
def test_what_cannot_be_had_is_told(server: Server, get: Get, url: str, said: str) -> None:
    result = get(url.format(url=server.url))
    assert (result.exit_code, said in result.output) == (1, True), result.output


def test_a_proxy_is_used(server: Server, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/model.onnx"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert get("http://models.invalid/model.onnx").exit_code == 0
    assert server.asked == [(None, "http://models.invalid/model.onnx")]


def test_known_models_are_listed_and_need_a_hash() -> None:
    listed = CliRunner().invoke(retinue, ["models", "get"]).output
    for model in PUBLISHED:
        assert model.name in listed
        assert model.sha256 is None or len(bytes.fromhex(model.sha256)) == 32
        if model.sha256 is None:
            refused = CliRunner().invoke(retinue, ["models", "get", model.name])
            assert (refused.exit_code, "--sha256" in refused.output) == (2, True)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Any]:
    """The words of a command, and what it finds."""
    model = files("retinue_onnx") / "models" / "nanodet.onnx"
    pictures = tmp_path_factory.mktemp("pictures")
    words = [
        "models", "verify", str(model), str(Path(__file__).parents[2] / "docs" / "astronaut.jpg"),
        "--pictures", str(pictures), "--json",
    ]  # fmt: skip
    result = CliRunner().invoke(retinue, words)
    assert result.exit_code == 0, result.output
    assert (pictures / "astronaut.jpg").exists()
    return words, json.loads(result.output)


def test_verify_shows_how_the_model_is_read(answered: tuple[list[str], Any]) -> None:
    _, told = answered
    assert told["model"]["layout"] == "nanodet"
    assert told["model"]["inputs"][0]["shape"][1:] == [3, 416, 416]
    assert told["model"]["channels"] == "bgr"
    assert told["model"]["labels"] == 80
    assert told["matches"] is True


def coco(box: list[float], label: str, *, name: str = "astronaut.jpg") -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": name, "width": 512, "height": 512}],
        "categories": [{"id": 1, "name": label}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": box}],
    }


PERSON = [15, 15, 350, 495]


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        ("itself", []),
        (coco(PERSON, "person"), []),
        (coco(PERSON, "cat"), ["missing: cat (100%)", "not expected: person"]),
        (coco([400, 0, 100, 100], "person"), ["missing: person (100%); the nearest overlaps by"]),
        (coco(PERSON, "person", name="other.jpg"), ["has no answer for it"]),
    ],
    ids=["itself", "equal", "another label", "another place", "another photograph"],
)
def test_verify_compares_with_reference_answers(
    answered: tuple[list[str], Any], tmp_path: Path, expected: Any, said: list[str]
) -> None:
    words, told = answered
    path = tmp_path / "expected.json"
    path.write_text(json.dumps(told if expected == "itself" else expected))
    result = CliRunner().invoke(retinue, [*words, "--expected", str(path)])
    assert result.exit_code == (1 if said else 0), result.output
    [picture] = json.loads(result.output)["pictures"]
    assert bool(picture["differences"]) == bool(said)
    for sentence in said:
        assert any(sentence in one for one in picture["differences"])


def test_verify_compares_labels_of_whole_images(
    answered: tuple[list[str], Any], tmp_path: Path
) -> None:
    words, _ = answered
    model = files("retinue_onnx") / "models" / "efficientnet-lite0.onnx"
    words = [*words[:2], str(model), *words[3:], "--detector", "onnx-labels"]
    words += ["--options", '{"threshold": 0.01}']
    told = CliRunner().invoke(retinue, words)
    path = tmp_path / "expected.json"
    for answer, code in ((told.output, 0), (told.output.replace("barbell", "another"), 1)):
        path.write_text(answer, encoding="utf-8")
        result = CliRunner().invoke(retinue, [*words, "--expected", str(path)])
        assert result.exit_code == code, result.output
    [picture] = json.loads(result.output)["pictures"]
    assert [one.split(" (")[0] for one in picture["differences"]] == [
        "missing: another",
        "not expected: barbell",
    ]


def test_verify_names_the_option_at_fault(answered: tuple[list[str], Any], tmp_path: Path) -> None:
    words, _ = answered
    path = tmp_path / "no-model.onnx"
    path.write_text("nothing")
    result = CliRunner().invoke(retinue, ["models", "verify", str(path), words[3]])
    assert (result.exit_code, "option model: " in result.output) == (2, True), result.output
    path.write_text("{}")
    result = CliRunner().invoke(retinue, [*words, "--expected", str(path)])
    assert (result.exit_code, "--expected: " in result.output) == (2, True), result.output
