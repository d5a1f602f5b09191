"""The cascade of docs/routing.md, as it stands there: a local model decides what is paid for."""

import json
import re
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

from fakes.rig import Rig
from retinue_cli.local import package_photographs
from retinue_history import ConnectionPool, History
from retinue_history.analysis.query import run_query
from retinue_rekognition_emulator import Endpoint
from retinue_sdk.plugins.manager import Plugins

PAGE = Path(__file__).parents[2] / "docs" / "routing.md"
POINTS = (
    EntryPoint("rekognition", "retinue_rekognition.plugin", "retinue"),
    EntryPoint("onnx", "retinue_onnx.plugin", "retinue"),
)


def test_the_page_says_what_it_saves(
    history_url: str, as_user: Callable[[str, str], str], cloud: Endpoint
) -> None:
    page = PAGE.read_text(encoding="utf-8")
    given = dict(re.findall(r"^RETINUE_([A-Z]+)='(.*)'$", page, re.MULTILINE))
    detectors = json.loads(given["DETECTORS"])
    detectors["rekognition-faces"] = {"endpoint_url": cloud.url, "requests_per_second": 1_000}
    pool = ConnectionPool(history_url)
    try:
        rig = Rig(History(pool), url=history_url)
        rig.plugins = Plugins(POINTS)
        for photograph in package_photographs():
            rig.upload(photograph.key, photograph.path.read_bytes())
        rig.work_off(
            detectors,
            routes=json.loads(given["ROUTES"]),
            within_seconds=60,
            detector_timeout_seconds=60,
        )
    finally:
        pool.close()
    [query] = re.findall(r'retinue query "(select detector, runs[^"]*)"', page)
    rows = run_query(as_user(history_url, "retinue_reader"), query).rows
    said = [[str(cell) for cell in row] for row in rows]
    [table] = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    shown = [line.split() for line in table.splitlines()]
    assert [line for line in shown if line[0] in detectors] == said
    assert cloud.calls["DetectFaces"] == int(said[1][1])
    assert int(said[1][2]) > 0
