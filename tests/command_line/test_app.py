"""The commands as a whole: their list, and how they end."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from retinue_cli.app import retinue
from retinue_sdk import ImageReference


def _commands() -> dict[str, click.Command]:
    context = click.Context(retinue)
    found = {name: retinue.get_command(context, name) for name in retinue.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def _all_commands() -> Iterator[tuple[list[str], click.Command]]:
    """Yield every command and group with its words."""
    waiting: list[tuple[list[str], click.Command]] = [([], retinue)]
    for words, command in waiting:
        yield words, command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                waiting.append(([*words, name], below))


def test_every_help_fits_80_columns() -> None:
    for words, _ in _all_commands():
        said = CliRunner().invoke(retinue, [*words, "--help"], terminal_width=80).stdout
        assert said.startswith("Usage: "), words
        assert [line for line in said.splitlines() if len(line) > 80 or "\b" in line] == [], words


SERVICES = ({"worker"}, {"console"}, {"psql"})
"""Commands that run until they are stopped."""


def test_every_command_that_has_a_result_gives_it_as_json() -> None:
    without = [
        set(words)
        for words, command in _all_commands()
        if not (isinstance(command, click.Group) and not command.invoke_without_command)
        and not any("--json" in option.opts and option.is_flag for option in command.params)
    ]
    assert sorted(without, key=str) == sorted(SERVICES, key=str)


def test_help_lists_each_command_by_purpose_in_one_line() -> None:
    said = CliRunner().invoke(retinue, ["--help"], terminal_width=80).stdout.splitlines()
    places = [said.index(f"{title}:") for title in ("Use it", "Query it", "Extend it")]
    assert places == sorted(places)
    listed = [line for line in said[places[0] :] if line.startswith("  ")]
    assert [line.split()[0] for line in listed] == list(_commands())
    assert all(line.endswith(".") and "..." not in line for line in listed)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["quer"], "error: No such command 'quer'. Did you mean 'query'?"),
        (["query"], "error: Missing argument 'SQL'."),
        (["failures", "--since", "soon"], "error: Invalid value for '--since'"),
        (["plugins", "check", "no-such-detector"], "error: no installed plugin"),
    ],
)
def test_errors_have_one_form(arguments: list[str], complaint: str) -> None:
    ended = CliRunner().invoke(retinue, arguments)
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert any(line.startswith(complaint) for line in ended.stderr.splitlines())
    assert "Error:" not in ended.stderr


@pytest.mark.parametrize("name", ["query", "worker", "export", "top"])
def test_ctrl_c_ends_a_command_with_130(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_commands()[name], "callback", interrupted)
    monkeypatch.setattr(_commands()[name], "params", [])
    ended = CliRunner().invoke(retinue, [name])
    assert ended.exit_code == 130
    assert ended.stderr.strip() == ""


@pytest.mark.parametrize(
    "failure",
    [
        OSError(5, "Input/output error"),
        OSError(28, "No space left on device"),
        RuntimeError("the connection is closed"),
    ],
)
def test_ctrl_c_is_130_even_if_stopping_fails(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise failure

    monkeypatch.setattr(_commands()["top"], "callback", interrupted)
    monkeypatch.setattr(_commands()["top"], "params", [])
    monkeypatch.setattr("retinue_cli.app._discard_output", lambda: None)
    ended = CliRunner().invoke(retinue, ["top"])
    assert ended.exit_code == 130
    assert getattr(failure, "strerror", str(failure)) in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_name_that_looks_like_an_option_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-rf.jpg").touch()
    ended = CliRunner().invoke(retinue, ["run", "-rf.jpg", "-q"])
    assert ended.exit_code == 2
    assert ended.stderr.endswith("For the file of this name, write ./-rf.jpg\n")


def test_ctrl_c_while_a_command_is_loading() -> None:
    interrupted = (
        "import os, signal, sys\n"
        "from importlib.abc import MetaPathFinder\n"
        "class Finder(MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'retinue_cli.app': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from retinue_cli import main\n"
        "main()\n"
    )
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    ended = subprocess.run(
        [sys.executable, "-c", interrupted], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (130, "")


def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "retinue_cli", "--version"]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (
        ended.stderr == "error: cannot write standard output or a file: No space left on device\n"
    )
    assert ended.returncode == 1


@pytest.mark.parametrize("arguments", [["--help"], ["schema", "--help"]])
def test_a_reader_that_ends_early_is_141_without_a_word(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "retinue_cli", *arguments]
    try:
        ended = subprocess.run(
            command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_an_answer_of_no_does_nothing() -> None:
    @click.command()
    def ask() -> None:
        click.confirm("Remove it?", abort=True)

    group = type(retinue)("retinue")
    group.get_command = lambda *_: ask  # type: ignore[method-assign]
    for answer, said in (("n\n", "not confirmed"), ("", "no answer on standard input")):
        ended = CliRunner().invoke(group, ["ask"], input=answer)
        assert ended.exit_code == 1
        assert ended.stderr.strip() == f"error: {said}; nothing was done"


def test_names_that_the_history_lacks_are_answered_with_what_may_be_meant(
    cli: Callable[..., Result], photos: dict[str, ImageReference]
) -> None:
    meant = "the history has no runs of 'object' (did you mean 'objects'?)"
    assert meant in cli("diff", "object", "objects", exit_code=2).stderr
    assert meant in cli("failures", "--detector", "object").stderr
    said = cli("export", "e.csv", "--detector", "object", "--label", "catt").stderr
    assert meant in said
    assert "the history has no label 'catt' (did you mean 'cat'?)" in said


@pytest.mark.parametrize("when", ["7d", "7d ago", "2026-01-31", "2026-01-31T12:00+01:00"])
def test_times_are_written_alike_in_every_command(cli: Callable[..., Result], when: str) -> None:
    cli("export", "e.csv", "--since", when)
    cli("failures", "--since", when)


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_a_time_that_ends_before_it_begins_is_refused(
    cli: Callable[..., Result], order: slice
) -> None:
    bounds = [("--since", "1d"), ("--until", "7d")][order]
    for command in (["failures"], ["export", "e.csv"], ["query", "select 1", "--archive"]):
        said = cli(*command, *bounds[0], *bounds[1], exit_code=2).stderr
        assert "--since must be before --until" in said
    cli("failures", "--since", "7d", "--until", "1d")


def test_a_format_follows_from_a_files_name(
    cli: Callable[..., Result], photos: dict[str, ImageReference], tmp_path: Path
) -> None:
    cli("export", "e.parquet")
    assert (tmp_path / "e.parquet").read_bytes().startswith(b"PAR1")
    cli("export", "e.json")
    assert "annotations" in json.loads((tmp_path / "e.json").read_text())
    assert "set --format" in cli("export", "e.txt", exit_code=2).stderr
    assert "set --format" in cli("export", "-", exit_code=2).stderr


def test_json_is_one_value_on_standard_output(
    cli: Callable[..., Result], photos: dict[str, ImageReference]
) -> None:
    for arguments in (
        ["query", "select 1 as one"],
        ["schema"],
        ["failures"],
        ["replay"],
        ["replay", "--missing", "--detector", "objects"],
        ["top"],
        ["models", "status"],
        ["models", "cost"],
        ["diff", "objects@1", "objects@2"],
        ["export", "e.csv"],
        ["migrate"],
        ["maintain", "--dry-run"],
        ["plugins"],
        ["forget", "--image", "pets/cat.jpg", "--dry-run"],
        ["forget", "--image", "pets/cat.jpg", "--yes"],
        ["forget", "--image", "pets/cat.jpg", "--allow-again"],
        ["models", "get"],
        ["new-plugin", "acme-first"],
    ):
        exit_code = 2 if "--missing" in arguments else 0  # no detectors are set
        said = cli(*arguments, "--json", exit_code=exit_code).stdout
        assert said == "" if exit_code else json.loads(said) is not None, arguments


@pytest.mark.parametrize(
    ("name", "owner"),
    [("onnx-objects", "retinue-onnx .* has a detector"), ("pytest", "a Python package 'pytest'")],
)
def test_a_plugin_gets_no_name_that_is_taken(
    cli: Callable[..., Result], name: str, owner: str
) -> None:
    assert re.search(owner, cli("new-plugin", name, exit_code=2).stderr)
    assert not Path("my-plugins").exists()


def test_the_next_steps_of_a_plugin_are_for_this_environment(
    cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(programs))
    first = cli("new-plugin", "acme-first").stdout
    assert "\n  retinue plugins check acme-first\n" in first
    monkeypatch.setenv("PATH", "/nowhere")
    assert (
        f"\n  {programs}/retinue run --detectors acme-second"
        in cli("new-plugin", "acme-second").stdout
    )


def test_a_query_imports_neither_awss_client_nor_what_draws_pictures() -> None:
    code = (
        "import sys; from retinue_cli.app import retinue; import retinue_cli.local\n"
        "retinue.get_command(None, 'query'); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    )
    needless = {"botocore", "numpy", "PIL", "retinue_aws"}
    assert "psycopg" in done.stdout.split()
    assert not needless & set(done.stdout.split())
