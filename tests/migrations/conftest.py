"""A history on a fresh database, and records to put into it."""

import hashlib
import os
import pwd
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from fakes.server_folder import new_server_folder
from retinue_history import ConnectionPool, History, ImageRecord, RunKey, RunRecord

_POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def _image_id(bucket: str, key: str, version: str) -> UUID:
    """Return the SDK's, written again: the two may not drift apart."""
    digest = bytearray(hashlib.sha256(f"{bucket}\n{version}\n{key}".encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))


@pytest.fixture
def image_id() -> Callable[[str, str, str], UUID]:
    """Return the Python twin of the SQL function."""
    return _image_id


@pytest.fixture
def history(pool: ConnectionPool) -> History:
    """Return a history on a fresh, migrated database."""
    return History(pool)


@pytest.fixture(scope="session")
def image() -> Callable[..., ImageRecord]:
    """Makes an image; every field can be given."""

    def make(
        key: str = "cat.jpg", version: str = "v1", bucket: str = "photos", **fields: Any
    ) -> ImageRecord:
        given = {"versioned": True, "uploaded_at": _NOON, "sequencer": "10", **fields}
        return ImageRecord(_image_id(bucket, key, version), bucket, key, version, **given)

    return make


@pytest.fixture(scope="session")
def run() -> Callable[..., RunRecord]:
    """Makes a run of an image; succeeded unless an ``error_code`` is given."""

    def make(
        image: ImageRecord,
        event_id: str = "event 1",
        *,
        detector: str = "labels",
        detector_version: str = "1",
        fingerprint: str = "f",
        **fields: Any,
    ) -> RunRecord:
        failed = "error_code" in fields
        key = RunKey(image.image_id, detector, detector_version, fingerprint)
        fields = {
            "outcome": "failed" if failed else "succeeded",
            "retryable": failed,
            "started_at": _NOON,
            "duration_ms": 12.5,
            "error_message": "it failed" if failed else None,
        } | fields
        return RunRecord(key, event_id, **fields)

    return make


@pytest.fixture(scope="session")
def postgres_15() -> Iterator[str]:
    """Yield the URL of a server of version 15, the oldest we support."""
    if not (_POSTGRES_15 / "initdb").exists():
        if os.environ.get("CI"):
            pytest.fail(f"{_POSTGRES_15} is missing; install postgresql-15 where CI runs")
        pytest.skip(f"no PostgreSQL 15 in {_POSTGRES_15}")
    folder = Path(new_server_folder("rq15"))
    user: str | None = None
    if os.geteuid() == 0:  # Postgres refuses to run as root
        user = "postgres"
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)

    def call(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(_POSTGRES_15 / program), "-D", f"{folder}/data", *arguments],
            check=True,
            user=user,
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )

    call("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    call("pg_ctl", "-w", "-l", f"{folder}/log", "-o", options, "start")
    yield f"postgresql://postgres@/postgres?host={folder}"
    call("pg_ctl", "-w", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture
def empty_postgres_15_url(postgres_15: str) -> Iterator[str]:
    """Yield the URL of an empty database on that server. Dropped after the test."""
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres_15, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield postgres_15.replace("/postgres?", f"/{name}?")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
