"""What LocalStack 4.13 takes from Python 3.12 and Python 3.11 lacks; Python imports it by itself.

Its KMS calls ``uuid.uuid5`` with bytes, which Python takes since 3.12 ("Changed in version 3.12" in
the documentation of the module). Without this, CreateKey answers 500.
"""

import sys
import uuid
from hashlib import sha1

if sys.version_info < (3, 12):
    of_text = uuid.uuid5

    def uuid5(namespace: uuid.UUID, name: str | bytes) -> uuid.UUID:
        """A version 5 UUID of a name that is text or bytes."""
        if isinstance(name, str):
            return of_text(namespace, name)
        digest = sha1(namespace.bytes + name, usedforsecurity=False).digest()
        return uuid.UUID(bytes=digest[:16], version=5)

    uuid.uuid5 = uuid5
