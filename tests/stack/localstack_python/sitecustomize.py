"""Add functions of Python 3.12 that LocalStack 4.13 uses. Python imports this module by itself.

Its KMS calls ``uuid.uuid5`` with bytes, which Python takes since 3.12 ("Changed in version 3.12" in
the documentation of the module). Without this, CreateKey answers 500.
"""

import sys
import uuid
from hashlib import sha1

if sys.version_info < (3, 12):
    of_text = uuid.uuid5

    def uuid5(namespace: uuid.UUID, name: str | bytes) -> uuid.UUID:
        """Return a version 5 UUID of a name that is text or bytes."""
        if isinstance(name, str):
            return of_text(namespace, name)
        digest = sha1(namespace.bytes + name, usedforsecurity=False).digest()
        return uuid.UUID(bytes=digest[:16], version=5)

    uuid.uuid5 = uuid5
