"""The pages about Rekognition say what the code does: detectors, calls, permissions."""

import json
import re
from pathlib import Path
from typing import Any

from retinue_cli.faces.service import IAM_ACTIONS
from retinue_rekognition.plugin import DETECTORS

PAGE = "plugins/rekognition/README.md"


def rows(text: str, heading: str) -> dict[str, str]:
    """Return the rows of the table under a header row, by their first cell."""
    table = text[text.index(heading) :].partition("\n\n")[0]
    found = re.findall(r"^\| `([^|]+)` \| (.+) \|$", table, re.MULTILINE)
    return dict(found)


def test_every_detector_is_listed_with_what_it_calls(root: Path) -> None:
    listed = rows((root / PAGE).read_text("utf-8"), "| detector | calls |")
    assert listed.keys() == {detector.name for detector in DETECTORS}
    for detector in DETECTORS:
        called = set(re.findall(r"[A-Z]\w+", listed[detector.name].split(" | ")[0]))
        assert called <= set(detector.operations)
        assert detector.operation in called


def test_the_operators_policy_is_what_the_commands_call(root: Path, blocks: list[Any]) -> None:
    [policy] = [b.code for b in blocks if b.page == "docs/faces.md" and b.language == "json"]
    statements = json.loads(policy)["Statement"]
    assert {action for one in statements for action in one["Action"]} == IAM_ACTIONS
    everywhere = {a for one in statements if one["Resource"] == "*" for a in one["Action"]}
    # As AWS's service authorization reference says: these know no resource.
    assert everywhere == {"rekognition:DetectFaces", "rekognition:ListCollections"}


def test_every_command_is_listed(root: Path) -> None:
    from retinue_cli.commands.faces import faces

    text = (root / "docs/faces.md").read_text("utf-8")
    assert set(re.findall(r"^retinue faces (\w+) .*$|^retinue faces (\w+)$", text, re.MULTILINE))
    named = set(re.findall(r"^retinue faces ([a-z]+)", text, re.MULTILINE))
    assert named == set(faces.commands)
