"""The number of hypothesis examples, for tests whose examples are dearer or cheaper than others."""

from hypothesis import settings


def examples(share: float) -> int:
    """Return this share of the profile's examples: of 100, or of 600 in ``make test-faults``."""
    return max(1, round(settings.default.max_examples * share))


DATABASE_EXAMPLES = examples(1 / 3)
"""For tests that write to a database."""
