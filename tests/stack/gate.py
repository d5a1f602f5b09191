"""RDS's front door before a real PostgreSQL: TLS, passwords and IAM's tokens.

The server behind it trusts everyone on its Unix socket. What RDS adds to PostgreSQL is here: it
demands TLS, and lets a login with the role ``rds_iam`` in by a token alone, whose signature,
address and age are checked.
"""

import asyncio
import hashlib
import hmac
import ssl
import struct
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, quote, urlencode

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104
_CLEARTEXT = b"R" + struct.pack("!ii", 8, 3)
_LONGEST_TOKEN = timedelta(minutes=15)

Authenticate = Callable[[str, str], bool]
"""Whether a login (its name and what it gave as password) may enter."""


class Gate:
    """A context manager: RDS answers inside.

    Args:
        port: Where to listen, on localhost; 0 for a free one.
        socket: Path of the server's Unix socket.
        certificate: The server's certificate.
        authenticate: Who may enter.

    Attributes:
        port: Where it listens, once it does.
        entered: Who was let in, login by login.
    """

    def __init__(
        self, port: int, socket: str, certificate: ssl.SSLContext, authenticate: Authenticate
    ) -> None:
        self.port, self._socket = port, socket
        self._certificate, self._authenticate = certificate, authenticate
        self._loop = asyncio.new_event_loop()
        self._ready, self._thread = Event(), Thread(target=self._run, daemon=True)
        self.entered: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), f"port {self.port} is taken"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, ["127.0.0.1"], self.port)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.1))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._admit(reader, writer)
        writer.close()

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        startup = await _packet(reader)
        while (code := struct.unpack("!i", startup[:4])[0]) in (_SSL_REQUEST, _GSS_REQUEST):
            if code == _SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(self._certificate)
            else:
                writer.write(b"N")
            startup = await _packet(reader)
        if writer.get_extra_info("ssl_object") is None:
            await _refuse(writer, "28000", "no encryption: RDS demands TLS (rds.force_ssl)")
            return
        words = startup[4:].split(b"\0")
        login = dict(zip(words[::2], words[1::2], strict=False))[b"user"].decode()
        writer.write(_CLEARTEXT)
        await reader.readexactly(1)
        password = (await _packet(reader)).rstrip(b"\0").decode()
        if not await asyncio.to_thread(self._authenticate, login, password):
            await _refuse(writer, "28P01", f'PAM authentication failed for user "{login}"')
            return
        self.entered.append(login)
        upstream_reader, upstream = await asyncio.open_unix_connection(self._socket)
        upstream.write(struct.pack("!i", len(startup) + 4) + startup)
        await asyncio.gather(_pass_on(reader, upstream), _pass_on(upstream_reader, writer))


async def _packet(reader: asyncio.StreamReader) -> bytes:
    """Return the body of a packet that begins with its length."""
    length: int = struct.unpack("!i", await reader.readexactly(4))[0]
    return await reader.readexactly(length - 4)


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError), closing(target):
        while block := await source.read(65_536):
            target.write(block)
            await target.drain()


async def _refuse(writer: asyncio.StreamWriter, code: str, message: str) -> None:
    fields = f"SFATAL\0C{code}\0M{message}\0\0".encode()
    writer.write(b"E" + struct.pack("!i", len(fields) + 4) + fields)
    await writer.drain()


def token_is_good(
    token: str, *, login: str, address: str, region: str, keys: dict[str, str]
) -> bool:
    """Return whether RDS would take an IAM token.

    By AWS's description of Signature Version 4 in query strings, for the service ``rds-db``.

    Args:
        token: What the client gave as password.
        login: Who wants to enter.
        address: ``host:port``, as the client knows it.
        region: AWS region of the database.
        keys: Secret access keys by access key id.
    """
    place, _, query = token.partition("/?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    signature = given.pop("X-Amz-Signature", "")
    try:
        key, day, where, service, end = given["X-Amz-Credential"].split("/")
        signed_at = datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        lasts = timedelta(seconds=int(given["X-Amz-Expires"]))
        right = (given["Action"], given["DBUser"]) == ("connect", login)
    except (KeyError, ValueError):
        return False
    now = datetime.now(UTC)
    fresh = lasts <= _LONGEST_TOKEN and signed_at - timedelta(minutes=5) < now < signed_at + lasts
    here = (place, where, service, end) == (address, region, "rds-db", "aws4_request")
    if not (right and fresh and here and key in keys):
        return False
    canonical = urlencode(sorted(given.items()), quote_via=quote, safe="-_.~")
    nothing = hashlib.sha256(b"").hexdigest()
    request = f"GET\n/\n{canonical}\nhost:{address}\n\nhost\n{nothing}"
    scope = f"{day}/{where}/{service}/{end}"
    text = "\n".join(
        [
            "AWS4-HMAC-SHA256",
            given["X-Amz-Date"],
            scope,
            hashlib.sha256(request.encode()).hexdigest(),
        ]
    )
    signing = f"AWS4{keys[key]}".encode()
    for part in (day, where, service, end):
        signing = hmac.digest(signing, part.encode(), "sha256")
    return hmac.compare_digest(hmac.digest(signing, text.encode(), "sha256").hex(), signature)
