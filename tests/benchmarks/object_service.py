"""GetObject of S3 for benchmarks: the files of a folder, out of memory.

``python -m benchmarks.object_service FOLDER`` prints its address. A file ``photos-1.jpg`` is the
object ``photos/1.jpg``, in whatever bucket. The file ``any.jpg`` is every object that has none.
"""

import hashlib
import sys
from pathlib import Path

from benchmarks.http_service import Answer, Headers, serve


def file_name(key: str) -> str:
    """Return the name of an object's file."""
    return key.replace("/", "-")


def object_answer(data: bytes) -> Answer:
    """Return S3's answer to a request for an object."""
    etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return Answer(data, media_type=b"image/jpeg", etag=b'"%b"' % etag.encode())


def main(folder: str) -> None:
    """Serve."""
    objects = {file.name: object_answer(file.read_bytes()) for file in Path(folder).iterdir()}

    def handle(path: bytes, headers: Headers, body: bytes) -> Answer:
        del headers, body
        _, _, key = path.decode().removeprefix("/").partition("/")
        return objects.get(file_name(key)) or objects["any.jpg"]

    serve(handle)


if __name__ == "__main__":
    main(sys.argv[1])
