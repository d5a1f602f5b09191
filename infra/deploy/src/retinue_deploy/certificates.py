"""Update the image's RDS certificate authorities from AWS's copy."""

import hashlib
import re
import ssl
import urllib.request
from collections.abc import Callable
from pathlib import Path

from retinue_deploy.errors import DeployError

BUNDLE = Path("infra/image/rds-global-bundle.pem")
SOURCE = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
"""From the RDS user guide, "Using SSL/TLS to encrypt a connection to a DB instance"."""

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)
_TIMEOUT_SECONDS = 30


def aws_bundle() -> str:
    """Return AWS's current bundle.

    Raises:
        DeployError: AWS can't be reached.
    """
    try:
        with urllib.request.urlopen(SOURCE, timeout=_TIMEOUT_SECONDS) as answer:
            return str(answer.read().decode("ascii"))
    except (OSError, ValueError) as error:
        raise DeployError(f"cannot fetch {SOURCE}: {error}") from error


def renew(bundle: Path, ask: Callable[[], str]) -> tuple[int, int]:
    """Replace the bundle with AWS's, if they differ.

    Args:
        bundle: The file in the repository.
        ask: Returns AWS's bundle.

    Returns:
        The number of certificates that only AWS has, and the number that only the file had.

    Raises:
        DeployError: The answer has no certificates, or an unreadable one.
    """
    theirs = ask()
    new, old = fingerprints(theirs), fingerprints(bundle.read_text(encoding="ascii"))
    if not new:
        raise DeployError(f"{SOURCE} returned no certificates; nothing was changed")
    if new != old:
        bundle.write_text(theirs, encoding="ascii")
    return len(new - old), len(old - new)


def fingerprints(bundle: str) -> set[str]:
    """Return the SHA-256 of each certificate of a bundle in PEM.

    Raises:
        DeployError: A certificate can't be read.
    """
    found = _CERTIFICATE.findall(bundle)
    try:
        if found:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata="\n".join(found))
        return {hashlib.sha256(ssl.PEM_cert_to_DER_cert(each)).hexdigest() for each in found}
    except (OSError, ValueError) as error:  # OpenSSL's errors are OSErrors
        raise DeployError(f"a certificate cannot be read: {error}") from error
