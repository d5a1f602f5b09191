"""Errors of a deployment."""


class DeployError(Exception):
    """A deployment can't continue. The message has the problem and the remedy."""


class ProgramError(DeployError):
    """A program failed.

    Attributes:
        output: Its whole output.
    """

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


class TaskFailedError(DeployError):
    """An ECS task failed. The message has the end of its log."""
