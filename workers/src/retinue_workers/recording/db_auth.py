"""Authenticate to the history's database: with the URL's password, or with IAM."""

from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from retinue_aws import find_credentials, new_session
from retinue_history import HistoryUnavailableError
from retinue_history.db.connections import connection_parameters
from retinue_sdk import ConfigurationError

from retinue_workers.intake.clients import aws_configuration

if TYPE_CHECKING:
    from retinue_workers.settings.settings import Settings

_PORT = 5432
"""PostgreSQL's default port, which RDS uses, too."""


def password_source(settings: "Settings", url: str) -> Callable[[], str] | None:
    """Return a function that provides a password for each new connection.

    An IAM token opens connections for 15 minutes. Open connections stay open when it expires.
    Signing a token makes no request, unless the credentials must be renewed. See the RDS user
    guide, "IAM database authentication".

    Args:
        settings: The worker's settings.
        url: The database's URL.

    Returns:
        The function; ``None`` if the URL or libpq's variables have the password.

    Raises:
        ConfigurationError: IAM is configured, and the URL doesn't allow it. The function raises it
            if AWS's configuration is invalid, and HistoryUnavailableError without credentials.
    """
    if settings.database_auth == "password":
        return None
    try:
        parameters = connection_parameters(url)
    except ValueError as error:
        raise ConfigurationError(f"RETINUE_DATABASE_URL: {error}") from error
    _check(parameters)
    made: list[Any] = []
    making = Lock()

    def client() -> Any:
        with making, aws_configuration():
            if not made:
                session = new_session()
                find_credentials(session)
                made.append(cast("Any", session).create_client("rds"))
            return made[0]

    def token() -> str:
        try:
            return str(
                client().generate_db_auth_token(
                    DBHostname=parameters["host"],
                    Port=int(parameters.get("port", _PORT)),
                    DBUsername=parameters["user"],
                )
            )
        except ConfigurationError:
            raise
        except Exception as error:  # no credentials now; they may return
            raise HistoryUnavailableError(
                f"cannot sign in to the database by IAM: {error}"
            ) from error

    return token


def signed_in(settings: "Settings", url: str) -> str:
    """Return the URL with a password that is valid for the next connections.

    Raises:
        ConfigurationError: IAM is configured, and the URL or AWS's configuration doesn't allow it.
        HistoryUnavailableError: No AWS credentials are available.
    """
    source = password_source(settings, url)
    if source is None:
        return url
    return f"{url}{'&' if '?' in url else '?'}password={quote(source(), safe='')}"


def _check(parameters: Mapping[str, Any]) -> None:
    """Raise for a URL that IAM can't use, or that would send the token to another server."""
    problem = None
    if not parameters.get("host"):
        problem = "names no host"
    elif not parameters.get("user"):
        problem = "names no login"
    elif parameters.get("password"):
        problem = "holds a password"
    elif parameters.get("sslmode") != "verify-full":
        problem = "does not check the server's certificate"
    if problem:
        raise ConfigurationError(
            f"the database URL {problem}, and RETINUE_DATABASE_AUTH=iam needs "
            "postgresql://LOGIN@HOST:5432/DATABASE?sslmode=verify-full&sslrootcert=FILE, where "
            "FILE has RDS's certificates"
        )
