"""The service that ECS runs: consume a queue, run detectors, record their findings."""

import sys

if "rich" not in sys.modules:
    # structlog imports rich if it's installed, which takes 5 MB, to print tracebacks in colour, as
    # the worker never does. A module that is None in sys.modules can't be imported.
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog  # noqa: F401

    del sys.modules["rich"]
