"""Collect all problems of a file, counted and with examples."""

EXAMPLES = 3
"""Maximum number of examples of one problem."""


class Problems:
    """Collects problems, so that one attempt reports all of them."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, list[str]]] = {}

    def add(self, problem: str, example: object) -> None:
        """Add a case of a problem."""
        number, examples = self._found.get(problem, (0, []))
        if number < EXAMPLES:
            examples.append(f"{example}"[:200])
        self._found[problem] = number + 1, examples

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of cases of each problem."""
        return {problem: number for problem, (number, _) in self._found.items()}

    @property
    def total(self) -> int:
        """Return the number of cases of all problems."""
        return sum(self.counts.values())

    def __bool__(self) -> bool:
        """Return whether there is a problem."""
        return bool(self._found)

    def __str__(self) -> str:
        """Return one line per problem: its count, its text, and examples."""
        return "\n".join(
            f"{number:,} × {problem}: {', '.join(examples)}"
            + (", …" if number > len(examples) else "")
            for problem, (number, examples) in self._found.items()
        )
