"""Errors of a network's answer."""


class NotANumberError(ArithmeticError):
    """The network answered with NaN or infinity."""
