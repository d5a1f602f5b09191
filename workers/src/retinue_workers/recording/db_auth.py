"""How to sign in to the history's database: by the URL's own password, or by IAM."""

import os
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
"""PostgreSQL's own, which RDS uses unless told otherwise."""


def password_source(settings: "Settings", url: str) -> Callable[[], str] | None:
    """Return what to ask for a password at each new connection.

    A token of IAM opens connections for 15 minutes, and none of those that are open is closed when
    it expires. Signing one is arithmetic: it calls nobody, unless the credentials must be renewed.
    See the RDS user guide, "IAM database authentication".

    Args:
        settings: They say how to sign in.
        url: Of the database.

    Returns:
        The source; none where the URL, or libpq's own variables, hold the password.

    Raises:
        ConfigurationError: IAM is wanted, and the URL does not allow it. The source raises it if
            AWS's configuration does not, and HistoryUnavailableError if there are no credentials.
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
                # ECS sets AWS_REGION, as every other SDK reads it; botocore knows
                # AWS_DEFAULT_REGION alone.
                session = new_session(os.environ.get("AWS_REGION"))
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
        except Exception as error:  # no credentials just now; they may come back
            raise HistoryUnavailableError(
                f"cannot sign in to the database by IAM: {error}"
            ) from error

    return token


def signed_in(settings: "Settings", url: str) -> str:
    """The URL with a password in it that is good for a connection made soon.

    Raises:
        ConfigurationError: IAM is wanted, and the URL or AWS's configuration does not allow it.
        HistoryUnavailableError: There are no AWS credentials.
    """
    source = password_source(settings, url)
    if source is None:
        return url
    return f"{url}{'&' if '?' in url else '?'}password={quote(source(), safe='')}"


def _check(parameters: Mapping[str, Any]) -> None:
    """Refuse a URL that IAM cannot sign in to, or that would show the token to a stranger."""
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
            f"the database URL {problem}, and RETINUE_DATABASE_AUTH=iam wants "
            "postgresql://LOGIN@HOST:5432/DATABASE?sslmode=verify-full&sslrootcert=FILE, where "
            "FILE has RDS's certificates"
        )
