"""Create a container's surroundings in separate namespaces."""

import ctypes
import fcntl
import os
import shutil
import socket
import struct
from pathlib import Path

CERTIFICATES = Path("/etc/ssl/certs")
"""Where the container image keeps RDS's certificates, among the system's."""

_MS_BIND = 4096
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def start_loopback() -> None:
    """Bring up ``lo`` in a new network namespace, where it is down. Needs no program ``ip``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def install_certificates(bundle: bytes, name: str, folder: Path) -> None:
    """Put a file beside the system's certificates, in this mount namespace alone.

    Args:
        bundle: Certificates, in PEM.
        name: Name of the file.
        folder: An empty folder, which then lies over the system's.
    """
    shutil.copytree(CERTIFICATES, folder, symlinks=True, dirs_exist_ok=True)
    (folder / name).write_bytes(bundle)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(os.fsencode(folder), os.fsencode(CERTIFICATES), None, _MS_BIND, None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(CERTIFICATES))
