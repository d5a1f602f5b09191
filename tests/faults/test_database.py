"""The database goes away in every way it can; its worker keeps the messages and resumes."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from faults.database import Database
from faults.proxy import Breakage, Weather
from faults.site import Site
from faults.steps import afflicted
from retinue_cli.local.postgres import EmbeddedPostgres
from retinue_cli.local.postgres_install import PostgresInstall
from retinue_cli.local.state import State

pytestmark = pytest.mark.timeout(300)

AWAY = {
    "postgres away": "connection",
    "postgres read-only": "read-only",
    "postgres out of connections": "remaining connection slots",
    "password rotated": "password authentication failed",
}
"""What lasts until somebody mends it, and what the worker says about it."""

OVER = ("postgres restarts", "postgres crashes", "postgres ends sessions")
"""What is over as soon as it has happened."""


def hold_back(site: Site, seconds: float) -> None:
    """Postgres is away for so long while images arrive; then all of them are done."""
    worker = site.start()
    site.upload(12)
    site.until(lambda: site.done() > 3)
    with afflicted("postgres away", site.database, site.name):
        site.upload(12)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline or not site.said("receiving_paused"):
            assert worker.poll() is None, site.tail()
            time.sleep(0.05)
    site.upload(6)
    site.until_empty()
    site.stop()
    site.check()
    assert {entry["receive_count"] for entry in site.said("run_recorded")} == {1}, (
        "no receive was burned"
    )
    assert not site.said("message_requeued")


@pytest.mark.long
def test_postgres_away_for_longer_than_a_visibility_timeout(site: Site) -> None:
    """The minute of the test below, in short: messages are hidden for four seconds at a time."""
    hold_back(site, 6)


@pytest.mark.long
def test_postgres_away_for_a_minute(site: Site) -> None:
    hold_back(site, 60)


@pytest.mark.long
def test_postgres_frozen_for_longer_than_a_visibility_timeout(site: Site) -> None:
    """It neither answers nor breaks connections, as a server whose disk stalls."""
    site.start()
    site.upload(60)
    site.until(lambda: site.done() > 5)
    with afflicted("postgres freezes", site.database, site.name):
        site.upload(20)
        time.sleep(10)
    site.until_empty()
    site.stop()
    site.check()
    assert {entry["receive_count"] for entry in site.said("run_recorded")} == {1}


@pytest.mark.long
def test_one_worker_outlives_every_fault_of_its_database(site: Site) -> None:
    """With five receives a message at most: a worker that burned them would lose images."""
    worker = site.start()
    for fault in (*AWAY, *OVER):
        site.upload(12, fault.replace(" ", "-"))
        site.until(lambda: site.done() > len(site.sent) - 12)
        with afflicted(fault, site.database, site.name):
            site.upload(12, fault.replace(" ", "-"))
            if fault in AWAY:
                # Not `until`: the database cannot be asked while it is away.
                while not any(AWAY[fault] in e["reason"] for e in site.said("receiving_paused")):
                    assert worker.poll() is None, site.tail()
                    time.sleep(0.05)
        site.until_empty()
        site.check()
    assert not site.said("message_requeued")
    site.stop()
    counts = {entry["receive_count"] for entry in site.said("run_recorded")}
    assert counts == {1}, "a database away burns no receive"


@pytest.fixture
def make_standby(server: Database) -> Iterator[Callable[[], EmbeddedPostgres]]:
    """Makes a replica that has every commit before a worker hears of it.

    At the end the primary is in charge again, as it was when it crashed.
    """
    with ExitStack() as stack:

        def make() -> EmbeddedPostgres:
            folder = Path(tempfile.mkdtemp(prefix="rqs"))
            folder.chmod(0o711)
            state = State(folder / "b")
            state.prepare()
            install = PostgresInstall.find()
            install.own(state.postgres)
            install.run(
                "pg_basebackup",
                *("-h", server.server._socket_folder or "", "-p", "5432", "-U", "postgres"),
                *("-D", state.postgres / "data", "-R", "-c", "fast", "-X", "stream"),
            )
            replica = stack.enter_context(EmbeddedPostgres(state))
            with server.admin() as admin:
                admin.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
                admin.execute("SELECT pg_reload_conf()")
            stack.callback(restore, server, server.server)
            return replica

        yield make


def restore(database: Database, primary: EmbeddedPostgres) -> None:
    database.server = primary
    conf = primary._data / "postgresql.auto.conf"
    lines = conf.read_text("utf-8").splitlines()
    conf.write_text("\n".join(line for line in lines if "synchronous_st" not in line) + "\n")
    database.start()


def fail_over(database: Database, standby: EmbeddedPostgres, until: Callable[[], object]) -> None:
    """Crash the primary. Its name then leads to the replica, which is promoted a little later."""
    database.crash()
    database.server = standby
    database.lead_to(standby)  # not promoted yet: it can be read, and takes no row
    until()
    with database.admin() as admin:
        admin.execute("SELECT pg_promote()")
        admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
        admin.execute("SELECT pg_reload_conf()")


@pytest.mark.long
def test_a_failover_loses_and_doubles_nothing(
    site: Site, make_standby: Callable[[], EmbeddedPostgres]
) -> None:
    standby = make_standby()
    site.start()
    site.upload(60)
    site.until(lambda: site.done() > 5)

    def notice() -> None:
        site.upload(5)  # the worker may be through with the others by now
        site.until(lambda: site.said("receiving_paused"))

    fail_over(site.database, standby, notice)
    site.upload(20)
    site.until_empty()
    site.stop()
    site.check()
    assert {entry["receive_count"] for entry in site.said("run_recorded")} == {1}


@pytest.mark.long
def test_workers_killed_in_a_failover_while_sqs_and_s3_throttle(
    make_site: Callable[..., Site], make_standby: Callable[[], EmbeddedPostgres]
) -> None:
    site = make_site(max_receive_count=50)
    standby = make_standby()
    both: dict[str, dict[str, int]] = {"echo": {"latency_ms": 20}, "weigh": {}}
    for service in ("sqs", "s3"):
        site.proxy.set(service, Weather(Breakage.THROTTLE, 0.3))
    for _ in range(2):
        site.start(both)
    site.upload(120, bytes_too=True)
    site.until(lambda: site.done() > 10)

    def kill() -> None:
        for worker in site.living():
            time.sleep(0.5)
            site.kill(worker)
            site.start(both)

    fail_over(site.database, standby, kill)
    site.kill(site.living()[0])
    site.start(both)
    site.upload(40, bytes_too=True)
    site.until_empty(180)
    site.proxy.clear()
    site.stop()
    site.check(both)


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), file.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(2**12))


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_is_full_holds_the_messages(site: Site) -> None:
    disk = Path(tempfile.mkdtemp(prefix="rqd"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode()}")
    install = PostgresInstall.find()
    try:
        install.own(disk / "space")
        disk.chmod(0o711)
        with site.database.admin() as admin:
            admin.execute(f"CREATE TABLESPACE small LOCATION '{disk}/space'")
            admin.execute(f'ALTER DATABASE "{site.name}" SET TABLESPACE small')
        site.start()
        site.upload(20)
        site.until_empty()
        ballast = disk / "ballast"
        fill(ballast)
        site.upload(600)
        site.until(lambda: site.said("receiving_paused"))
        assert "could not extend" in site.said("receiving_paused")[0]["reason"]
        ballast.unlink()
        site.until_empty()
        site.stop()
        site.check()
        assert {entry["receive_count"] for entry in site.said("run_recorded")} == {1}
    finally:
        for worker in site.living():
            site.kill(worker)
        with site.database.admin() as admin:
            admin.execute(f'ALTER DATABASE "{site.name}" SET TABLESPACE pg_default')
            admin.execute("DROP TABLESPACE small")
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()


@pytest.mark.long
def test_a_log_that_cannot_be_written_stops_nothing(site: Site) -> None:
    """/dev/full is a disk that is always full; metrics are written there too, at the end."""
    site.start(output=Path("/dev/full"), RETINUE_METRICS_NAMESPACE="Retinue/faults")
    site.upload(40)
    site.until_empty()
    site.stop()
    site.check()
