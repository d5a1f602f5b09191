r"""Derive a person's external image id from the name.

AWS accepts ``[a-zA-Z0-9_.\-:]+`` with at most 255 characters (ExternalImageId in the API's model).
Names are any text, so they are escaped reversibly: a space becomes ``_``, letters, digits, ``.``
and ``-`` of ASCII stay, and every other byte of the UTF-8 becomes ``:`` and two hex digits. Long
ids are truncated, and end in ``::`` and the SHA-256 of the whole name, which no escaped byte
equals. So two names never share an id.
"""

import hashlib
import re
import unicodedata

from retinue_cli.faces.errors import FacesError

PREFIX = "person:"
"""Prefix of a person's id. Faces that a detector stores have other prefixes."""

MAX_LENGTH = 255
"""Maximum length of an external image id in AWS."""

MAX_NAME_LENGTH = 1_000
"""Maximum length of a name, in characters."""

_KEPT = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
_ESCAPE = re.compile(r":([0-9a-f]{2})")


def plain_name(name: str) -> str:
    """Return the name in one spelling: composed (NFC), with single spaces, trimmed.

    Raises:
        FacesError: It is empty, too long, or contains control characters.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise FacesError(f"the name {name!a} is not valid Unicode") from None
    spelled = unicodedata.normalize("NFC", " ".join(name.split()))
    if not spelled:
        raise FacesError("the person's name is empty")
    if len(spelled) > MAX_NAME_LENGTH:
        raise FacesError(f"the name has {len(spelled):,} characters, more than {MAX_NAME_LENGTH:,}")
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in spelled):
        raise FacesError(f"the name {spelled!a} holds control characters")
    return spelled


def external_image_id(name: str) -> str:
    """Return a person's external image id, which is unique to the name.

    Raises:
        FacesError: The name is invalid.
    """
    spelled = plain_name(name)
    escaped = [_escaped(byte) for byte in spelled.encode()]
    whole = PREFIX + "".join(escaped)
    if len(whole) <= MAX_LENGTH:
        return whole
    ending = "::" + hashlib.sha256(spelled.encode()).hexdigest()
    beginning = PREFIX
    for part in escaped:
        if len(beginning) + len(part) + len(ending) > MAX_LENGTH:
            break
        beginning += part
    return beginning + ending


def name_of(external_id: str) -> str | None:
    """Return the name of an external image id; ``None`` if it isn't a person's or was truncated."""
    escaped = external_id.removeprefix(PREFIX)
    if escaped == external_id or "::" in escaped:
        return None
    text = escaped.replace("_", " ")
    parts = _ESCAPE.split(text)
    try:
        return b"".join(
            bytes.fromhex(part) if number % 2 else part.encode()
            for number, part in enumerate(parts)
        ).decode()
    except UnicodeDecodeError:
        return None


def _escaped(byte: int) -> str:
    if byte == ord(" "):
        return "_"
    return chr(byte) if byte in _KEPT else f":{byte:02x}"
