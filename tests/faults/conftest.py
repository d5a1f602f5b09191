"""Fixtures of the fault suite."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.database import Database
from faults.proxy import Proxy
from faults.site import Site
from retinue_cli.local import AwsEndpoint


@pytest.fixture(scope="session")
def server() -> Iterator[Database]:
    """Yield a PostgreSQL server that may be treated badly, shared by the tests of this folder."""
    database = Database()
    database.make()
    yield database
    database.remove()


@pytest.fixture
def make_site(aws: AwsEndpoint, server: Database, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes the surroundings of a test."""
    sites: list[Site] = []
    proxies: list[Proxy] = []

    def make(*, max_receive_count: int = 5, seed: int = 0, **upstream: str) -> Site:
        proxies.append(
            Proxy({"s3": aws.url, "sqs": aws.url, "sns": aws.url, **upstream}, seed).__enter__()
        )
        sites.append(Site(aws, proxies[-1], server, tmp_path, max_receive_count=max_receive_count))
        return sites[-1]

    yield make
    for site in sites:
        site.close()
    for proxy in proxies:
        proxy.__exit__()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    """Return the surroundings of a test, with a queue as in AWS: dead after five receives."""
    return make_site()
