"""Test the logins that may query, and the formats of the result."""

import json
import shlex
from collections.abc import Callable

import psycopg
import pytest
from click.testing import CliRunner, Result
from retinue_cli.app import retinue
from retinue_cli.options import database
from retinue_history import HistoryUnavailableError
from sqlalchemy import make_url

Cli = Callable[..., Result]


def test_the_workers_own_url_asks_as_the_reader(cli: Cli, history_url: str) -> None:
    said = cli("query", "select session_user, current_user", "--format", "csv").stdout
    assert said.splitlines()[1] == "retinue_reader,retinue_reader"


def test_a_server_that_does_not_let_in_the_reader(
    cli: Cli, history_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str) -> None:
        raise HistoryUnavailableError("no password supplied")

    monkeypatch.setattr(database, "check_reader", refuse)
    said = cli("query", "select 1", exit_code=2).stderr
    assert "RETINUE_QUERY_DATABASE_URL" in said
    assert "retinue_reader" in said


READING = ("query 'select 1'", "failures", "schema", "top --once", "replay", "export rows.csv")
OWNING = ("migrate", "maintain", "forget --image x --yes")


def test_a_database_that_cannot_be_used_is_one_line_with_the_remedy(
    cli: Cli, history_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_url(history_url)
    for unusable, remedy, commands in (
        (url.set(query={}, host="127.0.0.1", port=1), "URL's host and port", READING + OWNING),
        (url.set(database="none"), '"none" does not exist. Create it', READING + OWNING),
        (url.set(username="nobody"), '"nobody" does not exist. Check login', OWNING),
    ):
        address = unusable.render_as_string(hide_password=False)
        monkeypatch.setenv("RETINUE_DATABASE_URL", address)
        for command in commands:
            said = cli(*shlex.split(command), exit_code=1).stderr
            assert said.count("\n") == 1, (command, said)
            assert remedy in said


def test_an_owner_given_for_queries_is_refused(
    cli: Cli, history_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETINUE_QUERY_DATABASE_URL", history_url)
    assert "isn't read-only" in cli("query", "select 1", exit_code=1).stderr


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        ("1::numeric / 3", "0.3333"),
        ("8000::numeric / 90", "88.8889"),
        ("0::numeric / 3", "0"),
        ("0.001 * 1.10", "0.00110"),  # money is exact
        ("123456.7::float8", "123457"),
        ("0.84999::float8", "0.85"),
        ("'NaN'::numeric", "NaN"),
        ("'-infinity'::float8", "-inf"),
    ],
)
def test_numbers_are_for_people_in_a_table(cli: Cli, number: str, printed: str) -> None:
    lines = cli("query", f"select {number} as n").stdout.split()
    assert lines[2] == printed


def test_a_chart(cli: Cli, history_url: str) -> None:
    labels = "values ('cat', 'x', 3.5), ('dog', 'y', 7), (null, 'z', null)"
    lines = cli("query", labels, "--format", "chart").stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [["cat", "x", "3.5"], ["dog", "y", "7"]]
    assert lines[2].count("█") in (2 * lines[1].count("█"), 2 * lines[1].count("█") + 1)
    days = "select date '2026-01-01' + n, -n from generate_series(1, 3) as n"
    assert "2026-01-03" in cli("query", days, "--format", "chart").stdout
    assert "0 rows" in cli("query", "select 'a', 1 where false", "--format", "chart").stdout


@pytest.mark.parametrize(
    ("sql", "complaint"),
    [
        ("select 1", "a name or a time and then a number"),
        ("select 'a', 'b'", "a name or a time and then a number"),
        ("select 'a', 'NaN'::float8", "a name or a time and then a number"),
        ("select n::text, n from generate_series(1, 100) n", "too many for a chart"),
    ],
)
def test_what_is_no_chart(cli: Cli, sql: str, complaint: str) -> None:
    assert complaint in cli("query", sql, "--format", "chart", exit_code=2).stderr


@pytest.fixture
def terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "dumb")


@pytest.mark.usefixtures("terminal_of_80_columns")
def test_a_table_that_a_terminal_can_hold_stays_one(cli: Cli, history_url: str) -> None:
    lines = cli("query", f"select 'cat' as label, '{'x ' * 100}' as words").stdout.splitlines()
    assert any(line.split()[:2] == ["label", "words"] for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.usefixtures("terminal_of_80_columns")
def test_a_table_too_wide_for_a_terminal_is_a_block_a_row(cli: Cli, history_url: str) -> None:
    columns = ", ".join(f"repeat('{number % 10}', 20) as column_{number}" for number in range(20))
    lines = cli("query", f"select {columns} from generate_series(1, 2)").stdout.splitlines()
    assert lines.count(f"{'column_7':<11}{'7' * 20}") == 2
    assert [line.split("─")[0].strip() for line in lines if line.startswith("row")] == [
        "row 1",
        "row 2",
    ]
    assert max(map(len, map(str.rstrip, lines))) <= 80
    assert lines[-1] == "2 rows"


def test_a_table_in_a_pipe_is_a_line_a_row(cli: Cli, history_url: str) -> None:
    columns = ", ".join(f"repeat('{number % 10}', 50) as column_{number}" for number in range(300))
    lines = cli("query", f"select {columns}").stdout.splitlines()
    assert any("0" * 50 in line and "9" * 50 in line for line in lines)


def test_a_table_in_a_pipe_keeps_to_the_width_that_columns_sets(
    cli: Cli, history_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = cli("query", f"select '{'x ' * 100}' as words").stdout.splitlines()
    assert max(map(len, lines)) == 40


def test_json_is_a_format(cli: Cli, history_url: str) -> None:
    assert json.loads(cli("query", "select 1 as n", "--json").stdout) == [{"n": 1}]
    assert "exclude" in cli("query", "select 1", "--json", "--format", "csv", exit_code=2).stderr


def test_json_loses_no_column(cli: Cli, history_url: str) -> None:
    counts = ("query", "select count(*), count(distinct key), 1 as n from images")
    said = cli(*counts, "--json", exit_code=2).stderr
    assert "several columns are named count" in said
    assert cli(*counts, "--format", "csv").stdout == "count,count,n\n0,0,1\n"


@pytest.mark.parametrize("format_", ["table", "csv", "json"])
@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("interval '1 month'", "1 mon"),  # Python's has 30 days
        ("interval '-1 second'", "-00:00:01"),  # Python's is -1 day, 23:59:59
        (r"'\x00ff'::bytea", r"\x00ff"),
    ],
)
def test_values_are_written_as_postgres_writes_them(
    cli: Cli, value: str, printed: str, format_: str
) -> None:
    said = cli("query", f"select {value} as v", "--format", format_).stdout
    if format_ == "json":
        assert json.loads(said) == [{"v": printed}]
    else:
        assert printed in map(str.strip, said.splitlines())


def test_json_has_only_finite_numbers(cli: Cli, history_url: str) -> None:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} isn't JSON")

    numbers = "select 'NaN'::float8 as a, array['-infinity'::float8, 1] as b"
    said = cli("query", numbers, "--json").stdout
    assert json.loads(said, parse_constant=refuse) == [{"a": "NaN", "b": ["-Infinity", 1]}]


def test_a_query_may_be_given_more_time_or_less(cli: Cli, history_url: str) -> None:
    slow = ("query", "select pg_sleep(60)", "--timeout-seconds", 0.1)
    assert "stopped after 0.1 s," in cli(*slow, exit_code=1).stderr


def test_the_schema_lists_views_and_describes_one(cli: Cli, history_url: str) -> None:
    listed = cli("schema").stdout
    described = json.loads(cli("schema", "--json").stdout)
    assert {"latest_detections", "latest_runs"} <= {view["name"] for view in described}
    for view in described:
        assert f"  {view['name']} " in listed
        assert view["comment"]
        assert all(column["comment"] for column in view["columns"])
    columns = cli("schema", "failed_runs").stdout
    assert "error_code" in columns
    assert "The S3 object's key, decoded" in columns
    assert cli("schema", "FAILED_RUNS").stdout == columns
    meant = "no view 'failed_run' (did you mean 'failed_runs'?)"
    assert meant in cli("schema", "failed_run", exit_code=2).stderr


def test_a_query_from_standard_input(cli: Cli, history_url: str) -> None:
    ended = CliRunner().invoke(retinue, ["query", "-", "--format", "csv"], input="select 7 as n\n")
    assert (ended.exit_code, ended.stdout.splitlines()) == (0, ["n", "7"])


def test_psql_opens_the_history_for_reading(
    cli: Cli, history_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    cli("psql", "-At", "-c", "select session_user")
    assert capfd.readouterr().out == "retinue_reader\n"
    cli("psql", "-c", "delete from images", exit_code=1)
    assert "read-only" in capfd.readouterr().err
    url = cli("psql", "--url").stdout.strip()
    with psycopg.connect(url) as connection:
        assert connection.execute("select session_user").fetchone() == ("retinue_reader",)
