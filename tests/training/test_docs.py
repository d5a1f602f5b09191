"""The commands of the page on training, in its order; and what an operator must be allowed."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import Result
from retinue_cli.training.service import IAM_ACTIONS
from retinue_rekognition_emulator import Endpoint
from training.conftest import Clock, picture
from training.test_train import coco

PAGE = Path(__file__).parents[2] / "docs/custom-labels.md"


def test_the_commands_work(
    cli: Callable[..., Result],
    bucket: tuple[Any, str],
    endpoint: Endpoint,
    clock: Clock,
    history: str,
) -> None:
    del history
    s3, name = bucket
    for number in range(6):
        s3.put_object(Bucket=name, Key=f"{number}.jpg", Body=picture())
    coco(name).rename("parts.json")
    commands = [
        line.replace("my-bucket", name)
        for block in re.findall(
            r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
        )
        for line in block.splitlines()
    ]
    *training, promotion = commands
    for command in training:
        cli(*shlex.split(command)[1:], "--poll", "0.01")
    versions = endpoint.operations.versions
    versions.start_seconds = 0
    [old] = versions.projects["parts"].versions
    Path("pool.env").write_text(f"MODEL={old}\n", "utf-8")
    rekognition = endpoint.operations.projects
    rekognition.training.f1_scores.append(1.0)
    project = versions.projects["parts"]
    new = rekognition.training.start(project, "v2", {"S3Bucket": name}).arn
    clock.now += rekognition.training.seconds
    [given] = re.findall(r"arn:\S+", promotion)
    assert re.sub(r"\d+$", "", given) == re.sub(r"\d+$", "", new)
    said = cli(*shlex.split(promotion.replace(given, new))[1:]).stdout
    assert "the pool uses v2; v1 is stopped" in said


def test_the_page_names_every_action() -> None:
    page = PAGE.read_text("utf-8").partition("## Permissions")[2]
    named = set(re.findall(r"`(\w+)`", page))
    assert named == {action.partition(":")[2] for action in IAM_ACTIONS}
