"""Format numbers and texts for sentences."""


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 image``, ``1,234 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def escaped(text: str) -> str:
    """Return a text with escaped control characters, which could control the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def escaped_lines(text: str) -> str:
    """Return a text of several lines with the same replacements, and tabs as spaces."""
    return "\n".join(escaped(line.expandtabs(4)) for line in text.split("\n"))
