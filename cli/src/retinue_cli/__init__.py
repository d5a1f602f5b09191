"""The command line: ``retinue``."""

import gc
import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback, even while modules are loading."""
    gc.disable()  # what imports make stays: looking for garbage in it is a tenth of the start
    try:
        from retinue_cli.app import retinue

        retinue(prog_name="retinue")
    except KeyboardInterrupt:
        sys.exit(130)  # as shells report a program that Ctrl-C ended
