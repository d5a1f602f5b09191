"""The how-tos' code: all of it compiles, and what needs no model of others is executed."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as Pillow
from retinue_sdk import AnyDetector, InvalidImageError, RetriableError
from retinue_sdk.plugins.manager import Plugins
from retinue_sdk.testing import Fault, Report, Subject, run_checks

FILE = re.compile(r"^`(\w+\.py)`$")
NOT_RUN = {"torch_objects.py", "hugging_face_objects.py"}
"""Plugins for libraries that are not installed here; they are compiled, and their pages say so."""


@pytest.fixture
def plugins(blocks: list[Any], tmp_path: Path) -> Plugins:
    """Return the plugins of all pages, from a folder."""
    for block in blocks:
        if block.page.startswith("docs/howto/") and (file := FILE.match(block.title)):
            (tmp_path / file[1]).write_text(block.code, encoding="utf-8")
    return Plugins((), folder=tmp_path)


def snippet(blocks: list[Any], page: str) -> dict[str, Any]:
    """Return the names that a page's other code defines."""
    [code] = [
        block.code
        for block in blocks
        if block.page == page and block.language == "python" and not FILE.match(block.title)
    ]
    names: dict[str, Any] = {}
    exec(compile(code, page, "exec"), names)
    return names


def failures(report: Report) -> list[str]:
    return [result.message for result in report.results if result.outcome == "failed"]


def detector(plugins: Plugins, name: str) -> type[AnyDetector]:
    return plugins.find(name).detector


def test_every_plugin_can_be_registered(plugins: Plugins) -> None:
    assert plugins.problems == []
    names = {"http-labels", "onnx-classes", "torch-objects", "hub-objects"}
    assert set(plugins.registrations) == names


def test_what_is_not_run_says_so(blocks: list[Any], pages: dict[str, str]) -> None:
    found = {(match[1], block.page) for block in blocks if (match := FILE.match(block.title))}
    assert {file for file, _ in found} >= NOT_RUN
    for file, page in found:
        assert ("but not run" in pages[page].replace("\n", " ")) == (file in NOT_RUN), page


def test_the_secret_is_hidden(blocks: list[Any]) -> None:
    assert snippet(blocks, "docs/howto/secrets.md")["header"]


@contextmanager
def service(state: dict[str, Any]) -> Iterator[str]:
    """Yield a labelling service whose status the page's code decides."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            status = state["status"]
            body = b"{}"
            if status == 200:
                status, body = labelled(data)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def labelled(data: bytes) -> tuple[int, bytes]:
    """Return the colour that a picture has most of; 422 for what is no picture."""
    try:
        with Pillow.open(BytesIO(data)) as picture:
            colours = np.asarray(picture.convert("RGB")).mean(axis=(0, 1)) / 255
    except Exception:  # noqa: BLE001 - whatever is wrong, it is no picture
        return 422, b"{}"
    labels = [{"name": n, "score": float(c)} for n, c in zip("rgb", colours, strict=True)]
    return 200, json.dumps({"labels": labels}).encode()


def test_the_http_detector_passes_the_checks(plugins: Plugins, blocks: list[Any]) -> None:
    names = snippet(blocks, "docs/howto/http.md")
    assert isinstance(names["FAULTS"]["throttled"], Fault)
    assert names["FAULTS"]["throttled"].expected is RetriableError
    with service(names) as url:
        subject = Subject(
            detector(plugins, "http-labels"),
            {"url": url, "api_key": "open sesame"},
            faults=names["FAULTS"],
            memory_images=50,
        )
        report = run_checks(subject)
    assert failures(report) == []
    outcomes = {result.id: result.outcome for result in report.results}
    assert outcomes["no-secret-told"] == outcomes["faults-classified"] == "passed"


def test_the_onnx_detector_passes_the_checks(plugins: Plugins, tmp_path: Path) -> None:
    mean = helper.make_node("ReduceMean", ["image", "axes"], ["scores"], keepdims=0)
    axes = numpy_helper.from_array(np.array([2, 3]), "axes")
    graph = helper.make_graph(
        [mean],
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3])],
        initializer=[axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, tmp_path / "colours.onnx")
    options: dict[str, Any] = {
        "model": str(tmp_path / "colours.onnx"),
        "classes": ["red", "green", "blue"],
        "side_px": 32,
        "threshold": 0.1,
    }
    report = run_checks(Subject(detector(plugins, "onnx-classes"), options, memory_images=50))
    assert failures(report) == []
    [made] = plugins.make({"onnx-classes": options})
    assert not isinstance(made, InvalidImageError)
    assert len(made.model_fingerprint()) == 64
