"""The calls of a deployment: from the log of Terraform's provider."""

import re
from pathlib import Path

_METHOD = re.compile(r"rpc\.method=(\w+)")
_SERVICE = re.compile(r'rpc\.service=(?:"([\w ]+)"|(\w+))')


class Calls:
    """Records calls.

    Args:
        folder: For Terraform's log.

    Attributes:
        variables: Environment variables that make Terraform log its calls.
    """

    def __init__(self, folder: Path) -> None:
        self._log = folder / "terraform-calls.log"
        self.variables = {"TF_LOG_PROVIDER": "DEBUG", "TF_LOG_PATH": str(self._log)}

    def by_service(self) -> dict[str, list[str]]:
        """Return the operations that were called, by service."""
        found: dict[str, set[str]] = {}
        with self._log.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                method, service = _METHOD.search(line), _SERVICE.search(line)
                if method and service:
                    found.setdefault(service[1] or service[2], set()).add(method[1])
        return {service: sorted(names) for service, names in sorted(found.items())}
