"""Retinue's worker: consume a queue, run detectors within their limits, record the results."""

import sys

# structlog imports rich, where it is installed, for a way to draw tracebacks that is not ours: 4 MB
# of every worker. The commands that draw with rich import it themselves.
if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # how Python spells "cannot be imported"
    import structlog  # noqa: F401

    del sys.modules["rich"]
