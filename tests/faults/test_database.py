"""The database goes away in every way it can; its worker keeps the messages and resumes."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from faults.site import Site
from faults.steps import afflicted
from retinue_workers.laptop.postgres import EmbeddedPostgres
from retinue_workers.laptop.postgres_install import PostgresInstall
from retinue_workers.laptop.state import State

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

AWAY = {
    "postgres away": "connection",
    "postgres read-only": "read-only",
    "postgres out of connections": "remaining connection slots",
    "password rotated": "password authentication failed",
}
"""What lasts until somebody mends it, and what the worker says about it."""

OVER = ("postgres restarts", "postgres crashes", "postgres ends sessions")
"""What is over as soon as it has happened."""


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
                while not any(AWAY[fault] in e["reason"] for e in site.said("receiving_stopped")):
                    assert worker.poll() is None, site.tail()
                    time.sleep(0.05)
        site.until_empty()
        site.check()
    assert not site.said("handed_back")
    site.stop()
    counts = {entry["receive_count"] for entry in site.said("run")}
    assert counts == {1}, "a database away burns no receive"


@pytest.fixture
def standby(site: Site) -> Iterator[EmbeddedPostgres]:
    """A replica that has every commit before the worker hears of it."""
    database = site.database
    folder = Path(tempfile.mkdtemp(prefix="rqs"))
    folder.chmod(0o711)
    state = State(folder / "b")
    state.prepare()
    install = PostgresInstall.find()
    install.own(state.postgres)
    install.run(
        "pg_basebackup",
        *("-h", database.server._socket_folder or "", "-p", "5432", "-U", "postgres"),
        *("-D", state.postgres / "data", "-R", "-c", "fast", "-X", "stream"),
    )
    replica = EmbeddedPostgres(state)
    replica.__enter__()
    yield replica
    replica.__exit__(None, None, None)


def test_a_failover_loses_and_doubles_nothing(site: Site, standby: EmbeddedPostgres) -> None:
    database = site.database
    with database.admin() as admin:
        admin.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        admin.execute("SELECT pg_reload_conf()")
    primary = database.server
    try:
        site.start()
        site.upload(60)
        site.until(lambda: site.done() > 5)
        database.crash()
        database.server = standby
        database.lead_to(standby)  # not promoted yet: it can be read, and takes no row
        site.until(lambda: site.said("receiving_stopped"))
        with database.admin() as admin:
            admin.execute("SELECT pg_promote()")
            admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            admin.execute("SELECT pg_reload_conf()")
        site.upload(20)
        site.until_empty()
        site.stop()
        site.check()
    finally:
        for worker in site.living():
            site.kill(worker)
        database.server = primary
        conf = primary._data / "postgresql.auto.conf"
        kept = [
            line for line in conf.read_text("utf-8").splitlines() if "synchronous_st" not in line
        ]
        conf.write_text("\n".join(kept) + "\n", "utf-8")
        database.start()


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), file.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(2**12))


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
        site.until(lambda: site.said("receiving_stopped"))
        assert "could not extend" in site.said("receiving_stopped")[0]["reason"]
        ballast.unlink()
        site.until_empty()
        site.stop()
        site.check()
        assert {entry["receive_count"] for entry in site.said("run")} == {1}
    finally:
        for worker in site.living():
            site.kill(worker)
        with site.database.admin() as admin:
            admin.execute(f'ALTER DATABASE "{site.name}" SET TABLESPACE pg_default')
            admin.execute("DROP TABLESPACE small")
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()


def test_a_log_that_cannot_be_written_stops_nothing(site: Site) -> None:
    """/dev/full is a disk that is always full."""
    site.start(output=Path("/dev/full"))
    site.upload(40)
    site.until_empty()
    site.stop()
    site.check()
