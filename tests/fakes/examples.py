"""The number of hypothesis examples for tests that write to a database."""

from hypothesis import settings

DATABASE_EXAMPLES = settings.default.max_examples // 3
"""33, and 200 in ``make test-faults``, whose profile tries more of everything."""
