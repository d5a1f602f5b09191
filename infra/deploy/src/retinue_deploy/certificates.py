"""RDS's certificate authorities, which the image brings along: AWS's own copy of them."""

import hashlib
import re
import ssl
import urllib.request
from collections.abc import Callable
from pathlib import Path

from retinue_deploy.errors import DeployError

BUNDLE = Path("infra/image/rds-global-bundle.pem")
SOURCE = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
"""By the RDS user guide, "Using SSL/TLS to encrypt a connection to a DB instance"."""

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)
_TIMEOUT_SECONDS = 30


def aws_bundle() -> str:
    """The bundle as AWS gives it out today.

    Raises:
        DeployError: AWS cannot be reached.
    """
    try:
        with urllib.request.urlopen(SOURCE, timeout=_TIMEOUT_SECONDS) as answer:
            return str(answer.read().decode("ascii"))
    except (OSError, ValueError) as error:
        raise DeployError(f"{SOURCE} cannot be had: {error}") from error


def renew(bundle: Path, ask: Callable[[], str]) -> tuple[int, int]:
    """Replace the bundle by AWS's, if the two differ.

    Args:
        bundle: The file in the repository.
        ask: AWS's bundle.

    Returns:
        How many certificates AWS has that were not in the file, and how many the file had that AWS
        has not.

    Raises:
        DeployError: The answer holds no certificates, or one that cannot be read.
    """
    theirs = ask()
    new, old = fingerprints(theirs), fingerprints(bundle.read_text(encoding="ascii"))
    if not new:
        raise DeployError(f"what {SOURCE} answers holds no certificates; nothing was changed")
    if new != old:
        bundle.write_text(theirs, encoding="ascii")
    return len(new - old), len(old - new)


def fingerprints(bundle: str) -> set[str]:
    """SHA-256 of each certificate of a bundle in PEM.

    Raises:
        DeployError: One cannot be read.
    """
    found = _CERTIFICATE.findall(bundle)
    try:
        if found:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata="\n".join(found))
        return {hashlib.sha256(ssl.PEM_cert_to_DER_cert(each)).hexdigest() for each in found}
    except (OSError, ValueError) as error:  # OpenSSL's errors are of the system's kind
        raise DeployError(f"a certificate cannot be read: {error}") from error
