"""The plugins of the page about hooks work as they are printed."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
import pytest
from fakes import work
from retinue_sdk import ConfigurationError, Detection, ImageReference, Run, hookspecs
from retinue_workers.recording.observers import as_run


@pytest.fixture
def plugins(blocks: list[Any]) -> list[pluggy.PluginManager]:
    """Return a manager with the plugin of each block of Python, and with nothing else."""
    made = []
    for number, block in enumerate(blocks):
        if (block.page, block.language) == ("docs/hooks.md", "python"):
            module = ModuleType(f"hooks_{number}")
            exec(block.code, vars(module))
            manager = pluggy.PluginManager("retinue")
            manager.add_hookspecs(hookspecs)
            manager.register(module)
            manager.check_pending()
            made.append(manager)
    return made


def _run() -> Run:
    return as_run(work.run(), ImageReference("photos", "a.jpg", etag="e"))


def test_the_filter_keeps_no_faces_of_guests(plugins: list[pluggy.PluginManager]) -> None:
    found = (Detection("face", "Face", 0.9), Detection("label", "Cake", 0.8))

    def filtered(key: str) -> Any:
        image = ImageReference("photos", key, etag="e")
        arguments = {"image": image, "detector": "some", "detections": found}
        [answer] = plugins[0].hook.retinue_filter_detections(**arguments) or [None]
        return answer

    assert [one.label for one in filtered("guests/party.jpg")] == ["Cake"]
    assert filtered("staff/party.jpg") is None


def test_the_observer_writes_a_line_a_run_once_it_has_a_file(
    plugins: list[pluggy.PluginManager], tmp_path: Path
) -> None:
    hook, run, file = plugins[1].hook, _run(), tmp_path / "runs.txt"
    hook.retinue_worker_starting(options=None)
    hook.retinue_run_finished(run=run)
    assert not file.exists()
    with pytest.raises(ConfigurationError, match="must be a path, not 7"):
        hook.retinue_worker_starting(options={"file": 7})
    hook.retinue_worker_starting(options={"file": str(file)})
    hook.retinue_run_finished(run=run)
    assert file.read_text() == f"{run.image.uri} {run.detector}\n"
