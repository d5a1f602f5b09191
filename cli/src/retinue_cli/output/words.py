"""Numbers and texts in sentences."""


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 image``, ``1,234 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def escaped(text: str) -> str:
    """Return a text whose control characters, which could command the terminal, are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
