"""What can stop a deployment."""


class DeployError(Exception):
    """A deployment cannot go on. The message says what is wrong and what to do."""


class ProgramError(DeployError):
    """A program that we started ended badly.

    Attributes:
        output: All that it printed.
    """

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


class TaskFailedError(DeployError):
    """A task in ECS did not end well; the message has the end of its log."""
