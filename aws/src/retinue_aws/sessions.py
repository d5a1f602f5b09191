"""botocore sessions that share service descriptions and parse every answer."""

import gzip
import os
from functools import cache
from pathlib import Path
from typing import Any

from botocore.loaders import JSONFileLoader, Loader, create_loader
from botocore.session import Session

from retinue_aws.json_text import read_json
from retinue_aws.parser import AnswerParserFactory


def new_session(region: str | None = None) -> Session:
    """Return a session with its own credentials and configuration.

    Its clients raise ``ClientError`` for every error answer, and ``UnreadableAnswerError`` for a
    success that isn't one.

    All sessions of a program share one loader, which keeps the descriptions of regions and services
    that it has read. With a loader for each of four sessions they take 12 MB more.

    Args:
        region: The region that its clients call; by default ``AWS_REGION``, or the configured one.
    """
    session = Session()
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    session.register_component("response_parser_factory", AnswerParserFactory())
    session.register("before-call.s3.HeadBucket", _not_redirected)
    # ECS sets AWS_REGION, as other SDKs read it. botocore reads only AWS_DEFAULT_REGION.
    if chosen := region or os.environ.get("AWS_REGION"):
        session.set_config_variable("region", chosen)
    return session


def _not_redirected(**call: Any) -> None:
    """Keep botocore from following a redirection of HeadBucket.

    It asks by HeadBucket where a redirected request belongs. If that is redirected too, as by a
    proxy that redirects everything, it would ask again until Python's stack is used up.
    """
    call["context"]["s3_redirect"]["redirected"] = True


@cache
def _loader(data_path: str | None) -> Loader:
    loader = create_loader(data_path)
    loader.file_loader = _PlainFileLoader()
    return loader


class _PlainFileLoader(JSONFileLoader):
    """Reads descriptions as plain dicts.

    botocore reads them as OrderedDicts. They take 4 MB more, and four times as long.
    """

    def load_file(self, file_path: str) -> Any:
        for path, read in (
            (Path(f"{file_path}.json"), Path.read_bytes),
            (Path(f"{file_path}.json.gz"), lambda path: gzip.decompress(path.read_bytes())),
        ):
            if path.is_file():
                return read_json(read(path))
        return None
