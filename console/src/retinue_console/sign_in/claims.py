"""Claims of an identity provider about a person."""

from collections.abc import Mapping
from typing import Any

from retinue_console.access.identity import Grants, Identity, is_name
from retinue_console.settings import ConsoleSettings


class ClaimsError(ValueError):
    """A token is invalid; the message has the reason."""


def identity_of(claims: Mapping[str, Any], settings: ConsoleSettings, grants: Grants) -> Identity:
    """Return the person whom verified claims are about.

    Raises:
        ClaimsError: The claim with the login is missing, or isn't verified.
    """
    return grants.identity(
        login_of(claims, settings.login_claim), name_of(claims), groups_of(claims, settings)
    )


def login_of(claims: Mapping[str, Any], claim: str) -> str:
    """Return the login.

    Raises:
        ClaimsError: It is missing, or an e-mail address that the provider didn't verify.
    """
    login = claims.get(claim)
    if not isinstance(login, str) or not is_name(login):
        has = ", ".join(sorted(map(str, claims)))
        raise ClaimsError(
            f"The identity provider's token has no claim {claim}, only {has}. "
            "RETINUE_CONSOLE_LOGIN_CLAIM names the claim with the login."
        )
    # Providers let people enter any address. Load balancers send all claims as text.
    if claim == "email" and claims.get("email_verified") not in (True, "true"):
        raise ClaimsError(
            "The identity provider didn't verify the e-mail address. Verify it there, or set "
            "RETINUE_CONSOLE_LOGIN_CLAIM to another claim that people can't change, such as sub."
        )
    return login


def name_of(claims: Mapping[str, Any]) -> str | None:
    """Return the name to show, if there is one."""
    name = claims.get("name")
    return name if isinstance(name, str) and is_name(name) else None


def groups_of(claims: Mapping[str, Any], settings: ConsoleSettings) -> list[str]:
    """Return the groups, from a list or from a text with commas."""
    groups = claims.get(settings.groups_claim, ())
    if isinstance(groups, str):
        groups = [group.strip() for group in groups.split(",")]
    if not isinstance(groups, list | tuple):
        return []
    return [group for group in groups if isinstance(group, str)]
