"""What can be wrong with a laptop."""

from retinue_sdk import ConfigurationError


class LaptopError(ConfigurationError):
    """Something on this machine keeps ``retinue run`` from working.

    The message says what, and what to do about it.
    """
