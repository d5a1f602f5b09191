"""Errors of the laptop's programs."""

from retinue_sdk import ConfigurationError


class LaptopError(ConfigurationError):
    """A problem on this machine keeps ``retinue run`` from working.

    The message has the problem and the remedy.
    """
