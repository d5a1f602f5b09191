"""Numbers in sentences."""


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 image``, ``1,234 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
