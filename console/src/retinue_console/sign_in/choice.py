"""The way to sign in that the settings name."""

from retinue_console.access.identity import Grants
from retinue_console.settings import ConsoleSettings
from retinue_console.sign_in.sign_in import NoSignIn, SignIn


def sign_in_of(settings: ConsoleSettings) -> SignIn:
    """Return the way to sign in that the settings name. Only its own libraries are loaded."""
    grants = Grants(settings.login_rights, settings.group_rights)
    match settings.sign_in:
        case "none":
            return NoSignIn()
        case "header":
            from retinue_console.sign_in.proxy import ProxySignIn

            return ProxySignIn(settings, grants)
        case "alb":
            from retinue_console.sign_in.load_balancer import LoadBalancerSignIn

            return LoadBalancerSignIn(settings, grants)
        case "oidc":
            from retinue_console.sign_in.oidc import OidcSignIn

            return OidcSignIn(settings, grants)
