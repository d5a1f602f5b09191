"""The examples of detectors: all can be registered, and those without a foreign model are run."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as Pillow
from retinue_sdk import (
    AnyDetector,
    Detector,
    DetectorSession,
    Findings,
    Image,
    InvalidImageError,
    RetriableError,
)
from retinue_sdk.plugins.manager import Plugins
from retinue_sdk.testing import Fault, Report, Subject, run_checks

NOT_RUN = {"torch_objects.py", "hugging_face_objects.py"}
"""Examples for libraries that are not installed here; the page says so."""


@pytest.fixture
def plugins(root: Path) -> Plugins:
    """Return the plugins of the examples."""
    return Plugins((), folder=root / "docs/examples")


def snippet(blocks: list[Any], page: str) -> dict[str, Any]:
    """Return the names that a page's other code defines."""
    [code] = [block.code for block in blocks if block.page == page and block.language == "python"]
    names: dict[str, Any] = {}
    exec(compile(code, page, "exec"), names)
    return names


def failures(report: Report) -> list[str]:
    return [result.message for result in report.results if result.outcome == "failed"]


def detector(plugins: Plugins, name: str) -> type[AnyDetector]:
    return plugins.find(name).detector


def test_every_plugin_can_be_registered(plugins: Plugins) -> None:
    assert plugins.problems == []
    names = {"captions", "http-labels", "onnx-classes", "torch-objects", "hub-objects"}
    assert set(plugins.registrations) == names


def test_the_page_lists_every_example_and_says_which_are_not_run(root: Path) -> None:
    models = (root / "docs/howto/models.md").read_text("utf-8")
    services = (root / "docs/howto/services.md").read_text("utf-8")
    examples = {file.name for file in (root / "docs/examples").glob("*.py")}
    assert [name for name in examples if f"(../examples/{name})" not in models + services] == []
    rows = {name: line for line in models.splitlines() for name in examples if f"[{name}]" in line}
    assert {name for name, row in rows.items() if "but not run" in row} == NOT_RUN


def test_a_secret_of_the_examples_is_hidden(plugins: Plugins) -> None:
    options = {"url": "http://127.0.0.1/", "api_key": "open sesame"}
    [made] = plugins.make({"http-labels": options})
    assert "open sesame" not in repr(made.options)


def test_the_detector_with_a_quota_bills_its_calls(plugins: Plugins) -> None:
    image = Image.from_bytes(b"a photograph")
    [made] = plugins.make({"captions": {}})
    assert isinstance(made, Detector)
    [result] = made.detect([image])
    assert isinstance(result, Findings)
    assert result.billed_units == 1


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
    names = snippet(blocks, "docs/howto/services.md")
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


def test_the_http_detector_reads_no_endless_response(plugins: Plugins) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):  # until the detector hangs up
                while True:
                    self.wfile.write(b" " * 2**16)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        [made] = plugins.make({"http-labels": {"url": url}})
        try:
            with DetectorSession(made) as session:
                [result] = session.detect([Image.from_bytes(b"a file")])
        finally:
            server.shutdown()
    assert isinstance(result, RetriableError)
    assert str(result) == "the response is larger than 4,194,304 bytes"


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
