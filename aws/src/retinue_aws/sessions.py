"""botocore sessions that share what they read of AWS's services."""

from functools import cache

from botocore.loaders import Loader, create_loader
from botocore.session import Session


def new_session(region: str | None = None) -> Session:
    """Return a session with its own credentials and configuration.

    All sessions of a program share one loader, which keeps the descriptions of regions and services
    that it has read. With a loader for each of four sessions they take 22 MB more.

    Args:
        region: The region that its clients call; by default the configured one.
    """
    session = Session()
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    if region:
        session.set_config_variable("region", region)
    return session


@cache
def _loader(data_path: str | None) -> Loader:
    return create_loader(data_path)
