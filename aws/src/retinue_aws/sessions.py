"""botocore sessions that share what they read of AWS's services."""

from functools import cache

from botocore.loaders import Loader, create_loader
from botocore.session import Session

from retinue_aws.descriptions import DescriptionFiles


def new_session(region: str | None = None) -> Session:
    """A session with credentials and configuration of its own.

    Each session would parse the description of AWS's regions anew, and of each service: megabytes
    that are the same for all. So those of a program have one loader, which keeps what it has read.

    Args:
        region: Where its clients call; by default as AWS's own variables and files say.
    """
    session = Session()
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    if region:
        session.set_config_variable("region", region)
    return session


@cache
def _loader(data_path: str | None) -> Loader:
    loader: Loader = create_loader(data_path)
    loader.file_loader = DescriptionFiles()
    return loader
