"""Rekognition's detectors on a laptop without an account.

That an emulator answers, never as Amazon, is shown where README's commands are run (tests/docs).
"""

from collections.abc import Callable

from acceptance.command_line import CommandLine
from click.testing import Result


def test_an_endpoint_of_ones_own_replaces_the_emulator(
    retinue: CommandLine, running_history: None, invoke: Callable[..., Result]
) -> None:
    photo = retinue.folder / "a.jpg"
    photo.write_bytes(b"no image")
    options = '{"rekognition-labels": {"endpoint_url": "http://127.0.0.1:9", "send": "bytes"}}'
    done = invoke("run", str(photo), RETINUE_DETECTORS=options)
    assert "emulator" not in done.stdout
    assert "unsupported_format" in done.stdout
