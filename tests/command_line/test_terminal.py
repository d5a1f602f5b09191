"""Texts of strangers, such as keys and error messages, can't control the terminal."""

import json

import click
import pytest
from retinue_cli.app import _print_error
from retinue_cli.output.table import print_json

HOSTILE = "\x1b]0;title\x07 \x9b31m \x7f cat.jpg"


def test_an_error_keeps_its_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    _print_error(click.ClickException(f"{HOSTILE}\n    {HOSTILE}"))
    said = click.unstyle(capsys.readouterr().err)
    assert said.count("\n") == 2
    assert said.replace("\n", "").isprintable()


def test_json_is_the_same_value_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_json({"key": HOSTILE})
    said = capsys.readouterr().out
    assert said.replace("\n", "").isprintable()
    assert json.loads(said) == {"key": HOSTILE}
