"""The command line: ``retinue``."""

import gc
import sys


def main() -> None:
    """Run the command line. Ctrl-C ends it without a traceback, even while modules are loading."""
    try:
        from retinue_cli.loading import loading

        with loading():
            from retinue_cli.app import retinue

        retinue(prog_name="retinue")
    except KeyboardInterrupt:
        sys.exit(130)  # the exit status that shells use for a program that Ctrl-C ended
    finally:
        gc.freeze()  # or Python would search all modules for garbage before it ends: 0.2 s and more
