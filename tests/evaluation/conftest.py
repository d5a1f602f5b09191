"""The small history and the command line of the command-line tests."""

from command_line.conftest import cli, engine, seed

__all__ = ["cli", "engine", "seed"]
