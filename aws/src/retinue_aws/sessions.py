"""botocore sessions that share what they read of AWS's services."""

from functools import cache

from botocore.loaders import Loader, create_loader
from botocore.session import Session


def new_session() -> Session:
    """A session with credentials and configuration of its own, for ``boto3.Session``.

    Each session would parse the description of AWS's regions anew, and of each service: megabytes
    that are the same for all. So those of a program have one loader, which keeps what it has read.
    """
    session = Session()
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return session


@cache
def _loader(data_path: str | None) -> Loader:
    return create_loader(data_path)
