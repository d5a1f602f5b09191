"""Style sheet, scripts and icon: read once, and served under an address that changes with them."""

import hashlib
from importlib.resources import files
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import Response

from retinue_console.page import NotFoundError

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

IMMUTABLE = "public, max-age=31536000, immutable"


class StaticFiles:
    """The files of ``static/``, and of others in ``static/vendored/``.

    All are below one digest of all of them, so that modules can import each other by relative
    names.
    """

    def __init__(self) -> None:
        folder = files("retinue_console") / "static"
        found = [*folder.iterdir(), *(folder / "vendored").iterdir()]
        self._files = {
            each.name: each.read_bytes()
            for each in sorted(found, key=lambda each: each.name)
            if PurePosixPath(each.name).suffix in _TYPES
        }
        digest = hashlib.sha256()
        for name, data in self._files.items():
            digest.update(f"{name} {len(data)} ".encode() + data)
        self._digest = digest.hexdigest()[:12]

    def path(self, name: str) -> str:
        """Return the path of a file.

        Raises:
            KeyError: There is no such file.
        """
        if name not in self._files:
            raise KeyError(f"there is no static file {name}")
        return f"/static/{self._digest}/{name}"

    async def serve(self, request: Request) -> Response:
        """Answer a request for a file."""
        name = request.path_params["name"]
        data = self._files.get(name)
        if data is None:
            raise NotFoundError(f"There is no file {name}.")
        is_current = request.path_params["digest"] == self._digest
        return Response(
            data,
            media_type=_TYPES[PurePosixPath(name).suffix],
            headers={"Cache-Control": IMMUTABLE if is_current else "no-cache"},
        )
