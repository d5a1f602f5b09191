"""Texts of strangers, such as keys and error messages, can't control the terminal."""

import io
import json
import sys

import click
import pytest
from retinue_cli.app import _print_error
from retinue_cli.output.table import print_json, print_rows
from retinue_cli.output.terminal import binary_data_output

HOSTILE = "\x1b]0;title\x07 \x9b31m \x7f cat.jpg"


def test_an_error_keeps_its_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    _print_error(click.ClickException(f"{HOSTILE}\n\t{HOSTILE}"))
    said = click.unstyle(capsys.readouterr().err)
    assert "\n    \\x1b" in said
    assert said.count("\n") == 2
    assert said.replace("\n", "").isprintable()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_data_is_escaped_on_a_terminal_alone(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bytes_ = io.BytesIO()
    stdout = io.TextIOWrapper(bytes_, "utf-8")
    monkeypatch.setattr(stdout, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stdout", stdout)
    print_rows(["key"], [[HOSTILE + "é"], ["b"]], "csv")
    stdout.flush()
    with binary_data_output() as file:
        for byte in f"{HOSTILE}é\n".encode():
            file.write(bytes([byte]))
    stdout.flush()
    said = bytes_.getvalue().decode()
    if is_terminal:
        assert said.count("\n") == 4
        assert said.replace("\n", "").isprintable()
        assert said.count("cat.jpgé") == 2
    else:
        assert said == f"key\n{HOSTILE}é\nb\n{HOSTILE}é\n"


def test_json_is_the_same_value_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_json({"key": HOSTILE})
    said = capsys.readouterr().out
    assert said.replace("\n", "").isprintable()
    assert json.loads(said) == {"key": HOSTILE}
