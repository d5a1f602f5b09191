"""Classify botocore's errors as temporary or as wrong configuration."""

from typing import Any

from botocore import exceptions as aws
from botocore.session import Session

_MISCONFIGURED = (
    aws.BaseEndpointResolverError,
    aws.ConfigNotFound,
    aws.ConfigParseError,
    aws.EndpointProviderError,
    aws.InvalidChecksumConfigError,
    aws.InvalidConfigError,
    aws.InvalidDefaultsMode,
    aws.InvalidEndpointConfigurationError,
    aws.InvalidIMDSEndpointError,
    aws.InvalidIMDSEndpointModeError,
    aws.InvalidProxiesConfigError,
    aws.InvalidRegionError,
    aws.InvalidRetryConfigurationError,
    aws.InvalidS3AddressingStyleError,
    aws.InvalidS3UsEast1RegionalEndpointConfigError,
    aws.InvalidSTSRegionalEndpointsConfigError,
    aws.MissingDependencyException,
    aws.ParamValidationError,
    aws.PartialCredentialsError,
    aws.ProfileNotFound,
    aws.RefreshWithMFAUnsupportedError,
    aws.UnknownCredentialError,
    aws.UnknownServiceError,
    aws.UnknownSignatureVersionError,
    aws.UnsupportedS3ConfigurationError,
    aws.UnsupportedSignatureVersionError,
)


def is_misconfigured(error: Exception) -> bool:
    """Return whether an error persists until a variable, a profile or a setting is changed.

    botocore raises a bare ``ValueError`` for a value that it can't use. Its subclasses are about
    data, such as an endpoint's answer that isn't JSON.
    """
    return isinstance(error, _MISCONFIGURED) or type(error) is ValueError


def find_credentials(session: Session) -> None:
    """Find a session's credentials, which its clients then share. This may use the network.

    botocore does this when it creates the first client, and raises errors of an answer. Without an
    answer, it creates clients without credentials, which never find any.

    Raises:
        NoCredentialsError: No credentials are available now.
        CredentialRetrievalError: The source doesn't answer, or not with credentials.
        BotoCoreError: They can never be found (``is_misconfigured``).
        ValueError: The same.
    """
    untyped: Any = session
    try:
        credentials = untyped.get_credentials()
    except Exception as error:  # the answer of an endpoint or a process can be anything
        if is_misconfigured(error) or isinstance(error, aws.CredentialRetrievalError):
            raise
        raise aws.CredentialRetrievalError(
            provider="session", error_msg=f"{type(error).__name__}: {error}"
        ) from error
    if credentials is None:
        raise aws.NoCredentialsError
