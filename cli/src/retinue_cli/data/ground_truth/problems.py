"""What is wrong with a file: everything, counted, with examples."""

EXAMPLES = 3
"""How many examples of one problem are told."""


class Problems:
    """Collects what is wrong, so that one attempt tells all of it."""

    def __init__(self) -> None:
        """Nothing is wrong yet."""
        self._found: dict[str, tuple[int, list[str]]] = {}

    def add(self, problem: str, example: object) -> None:
        """Note one more case of a problem."""
        number, examples = self._found.get(problem, (0, []))
        if number < EXAMPLES:
            examples.append(f"{example}"[:200])
        self._found[problem] = number + 1, examples

    def __bool__(self) -> bool:
        """Return whether anything is wrong."""
        return bool(self._found)

    def __str__(self) -> str:
        """One line a problem: how often, what, and some examples."""
        return "\n".join(
            f"{number:,} × {problem}: {', '.join(examples)}"
            + (", …" if number > len(examples) else "")
            for problem, (number, examples) in self._found.items()
        )
