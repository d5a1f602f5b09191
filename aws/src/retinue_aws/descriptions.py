"""What botocore knows of AWS's regions and services, in a third of the memory.

botocore comes with descriptions of four hundred services. As it reads them itself, the regions of
all and the two services of a worker are 9 MB for as long as the worker lives.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.loaders import JSONFileLoader

_REGIONS = "endpoints"
"""File with the regions of all services."""


class DescriptionFiles(JSONFileLoader):
    """Reads descriptions into plain dictionaries, which keep their order; without help texts."""

    def load_file(self, file_path: str) -> Any:
        """Read a description.

        Args:
            file_path: Its file, without the ending.

        Returns:
            What is in it; ``None`` if there is no such file.
        """
        path = Path(file_path)
        for name, opened in ((f"{path.name}.json", open), (f"{path.name}.json.gz", gzip.open)):
            try:
                with opened(path.with_name(name), "rb") as file:
                    described = json.load(file, object_hook=_without_help)
            except FileNotFoundError:
                continue
            if path.name == _REGIONS:
                for partition in described.get("partitions", []):
                    partition["services"] = _Services(partition["services"])
            return described
        return None


class _Services(Mapping[str, Any]):
    """The services of a partition, kept as text until one is asked for: a worker uses three."""

    def __init__(self, services: Mapping[str, Any]) -> None:
        self._texts = {name: json.dumps(service) for name, service in services.items()}

    def __getitem__(self, name: str) -> Any:
        return json.loads(self._texts[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def _without_help(described: dict[str, Any]) -> dict[str, Any]:
    """Empty what is written for people; not a parameter of the same name, which is no text."""
    if isinstance(described.get("documentation"), str):
        described["documentation"] = ""
    return described
