"""The commands about failures, on a laptop where nothing is configured."""

import json
from collections.abc import Callable

from acceptance.command_line import CommandLine
from click.testing import Result
from PIL import Image
from retinue_cli.local import EmbeddedPostgres, State

PLUGIN = '''
"""Fails while a file says so."""
from pathlib import Path
from retinue_sdk import *

class Moody(Detector):
    """Fails while the file `broken` exists."""
    name = "moody"
    version = "1"
    capabilities = Capabilities(Input.PIXELS)

    def detect(self, images):
        if Path("broken").exists():
            return [InvalidImageError("not today", code="corrupt_image") for _ in images]
        return [Findings() for _ in images]
'''


def test_failed_images_are_looked_at_again_on_a_laptop(
    retinue: CommandLine, history: None, invoke: Callable[..., Result]
) -> None:
    folder = retinue.folder
    (folder / "plugins").mkdir()
    (folder / "plugins" / "moody.py").write_text(PLUGIN)
    (folder / "photos").mkdir()
    for name in ("gone", "kept"):
        Image.new("RGB", (40, 30), "red").save(folder / "photos" / f"{name}.png")
    (folder / "broken").touch()
    with EmbeddedPostgres(State(folder / ".retinue")):  # one server for all commands
        invoke("run", "photos", "--detectors", "moody", "--plugins-dir", "plugins")
        (folder / "photos" / "gone.png").unlink()
        (folder / "broken").unlink()

        said = invoke("failures").stdout
        assert "corrupt_image" in said
        assert "no dead letters" in said
        assert "no dead letters" in invoke("replay", "--dead-letters").stdout
        assert "left out: runs of moody" in invoke("replay", "--yes").stdout

        settings = {"RETINUE_DETECTORS": "moody", "RETINUE_PLUGINS_DIR": "plugins"}
        planned = invoke("replay", **settings).stdout
        assert "whose file was moved, changed or deleted, such as photos/gone.png" in planned
        assert "would process 1 image again" in planned
        done = json.loads(invoke("replay", "--yes", "--json", **settings).stdout)
        assert (done["asked_again"], done["succeeded"], done["failed"]) == (1, 1, 0)
        keys = [row["key"] for row in retinue.query("select key from failed_runs")]
        assert keys == ["photos/gone.png"]
    assert retinue.processes() == []


FILTER = """
from retinue_sdk import hookimpl

@hookimpl
def retinue_filter_detections(detections):
    return detections[{number}:]
"""


def test_another_filter_processes_images_again(
    retinue: CommandLine, running_history: None, invoke: Callable[..., Result]
) -> None:
    (retinue.folder / "photos").mkdir()
    Image.new("RGB", (40, 30), "red").save(retinue.folder / "photos" / "a.png")
    plugins = retinue.folder / "plugins"
    plugins.mkdir()
    (plugins / "tidy.py").write_text(FILTER.format(number=1))
    chosen = ("run", "photos", "--detectors", "echo")
    settings = {"RETINUE_DETECTORS": "echo", "RETINUE_PLUGINS_DIR": str(plugins.absolute())}

    assert "photos/a.png" in invoke(*chosen).stdout
    assert "would process 1 image again" in invoke("replay", "--missing", **settings).stdout
    assert "nothing found" in invoke(*chosen, "--plugins-dir", "plugins").stdout
    assert "nothing to replay" in invoke("replay", "--missing", **settings).stdout

    (plugins / "tidy.py").write_text(FILTER.format(number=0))
    assert "would process 1 image again" in invoke("replay", "--missing", **settings).stdout
    assert "1 detection" in invoke(*chosen, "--plugins-dir", "./plugins/").stdout


def test_the_other_commands_read_the_laptops_history_or_say_what_they_are_for(
    retinue: CommandLine, running_history: None, invoke: Callable[..., Result]
) -> None:
    (retinue.folder / "photos").mkdir()
    Image.new("RGB", (40, 30), "red").save(retinue.folder / "photos" / "a.png")
    invoke("run", "photos", "--detectors", "echo")
    assert "echo" in invoke("top", "--once").stdout
    assert "no model is known" in invoke("models", "status").stdout
    for arguments, purpose in (
        (["worker"], "`retinue run` has a queue and a worker of its own"),
        (["backfill", "s3://photos"], "`retinue run` has a queue and a worker of its own"),
        (["faces", "list"], "face collections are kept by Amazon Rekognition"),
    ):
        done = retinue(*arguments, check=False)
        assert done.returncode == 2
        [line] = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert purpose in line
