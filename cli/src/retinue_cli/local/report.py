"""What a person sees at the end of a run: the table, the totals, and what to ask next."""

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from retinue_cli.local.findings import Outcome
from retinue_cli.local.photographs import Photograph
from retinue_cli.local.progress import Done

MAX_ROWS = 60
"""Most rows of the table that are printed; SQL shows the rest."""

MAX_REASONS = 8
"""Most reasons for failure that are printed."""

QUESTIONS = (
    (
        "What is in my pictures?",
        (
            "select label, count(*), round(avg(confidence)::numeric, 2) as confidence "
            "from latest_detections group by 1 order by 2 desc"
        ),
    ),
    (
        "Which pictures show a person and a face?",
        (
            "select key from latest_detections where label in ('person', 'Face') "
            "group by 1 having count(distinct label) = 2"
        ),
    ),
    (
        "What could not be looked at, and why?",
        "select key, detector, error_code, error_message from failed_runs order by started_at desc",
    ),
)
"""Three questions to begin with: a title, and SQL on the history's views."""


@dataclass(frozen=True, slots=True)
class PhotographResult:
    """One photograph with what its detectors said, in the order of the detectors."""

    photograph: Photograph
    outcomes: tuple[Outcome, ...]


def print_table(console: Console, results: Sequence[PhotographResult]) -> None:
    """One row a detection; a detector that found nothing, or could not look, has a row too."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("image", overflow="fold")
    table.add_column("detector", no_wrap=True)
    table.add_column("label", overflow="fold")
    table.add_column("confidence", justify="right")
    rows = [
        (_printable(result.photograph.key), outcome.detector, label, confidence)
        for result in results
        for outcome in result.outcomes
        for label, confidence in _lines(outcome)
    ]
    previous = None
    for image, detector, label, confidence in rows[:MAX_ROWS]:
        table.add_row(Text(image if image != previous else ""), detector, label, confidence)
        previous = image
    console.print(table)
    if len(rows) > MAX_ROWS:
        console.print(
            f"… and {len(rows) - MAX_ROWS:,} more: the view latest_detections has them all\n"
        )


def print_totals(
    console: Console, results: Sequence[PhotographResult], done: Done, seconds: float
) -> None:
    """How much work there was, and what came of it."""
    outcomes = [outcome for result in results for outcome in result.outcomes]
    detections = sum(len(outcome.findings) for outcome in outcomes)
    failed = [outcome for outcome in outcomes if outcome.error_code]
    price_usd = sum(outcome.price_usd for outcome in outcomes)
    console.print(
        f"[bold]{_count(len(results), 'image')}[/], {_count(len(outcomes), 'run')}, "
        f"[bold]{_count(detections, 'detection')}[/]"
        + (f", [red]{_count(len(failed), 'failed run')}[/]" if failed else "")
        + (f" for ${price_usd:.4f}" if price_usd else "")
        + f" in {seconds:.1f} s"
    )
    if done.new == 0:
        console.print(
            f"No new detection: all {_count(done.known, 'run')} were in the history already."
        )
    elif done.known:
        console.print(f"{_count(done.new, 'new run')}; {done.known:,} were in the history already.")


def print_failures(console: Console, results: Sequence[PhotographResult], log: Path) -> None:
    """Why runs failed: each reason once, and where to read more."""
    reasons = Counter(
        (outcome.error_code, outcome.error_message or "")
        for result in results
        for outcome in result.outcomes
        if outcome.error_code
    )
    if not reasons:
        return
    console.print()
    for (code, message), number in reasons.most_common(MAX_REASONS):
        console.print(
            Text.assemble((f"{code}", "red"), f" × {number:,}: ", _printable(message)),
            soft_wrap=True,
        )
    if len(reasons) > MAX_REASONS:
        console.print(f"… and {len(reasons) - MAX_REASONS:,} more reasons, in the view failed_runs")
    console.print(f"[dim]The worker's log: {_shown(log)}[/]", soft_wrap=True)


def print_next(console: Console, pictures: Path | None) -> None:
    """Where the pictures are, and three questions ready to paste."""
    if pictures is not None:
        console.print(f"\nPictures with boxes: [bold]{_shown(pictures)}/[/]", soft_wrap=True)
    console.print("\nAsk the history in SQL, for example:")
    program = shlex.quote(_shown(Path(sys.executable).with_name("retinue")))
    for title, sql in QUESTIONS:
        console.print(f"\n  [dim]# {title}[/]")
        console.print(
            Text(f'  {program} query "{sql}"'), soft_wrap=True, highlight=False, markup=False
        )


def _lines(outcome: Outcome) -> list[tuple[Text, str]]:
    """A row's label and confidence for each finding, or the one line that stands for none."""
    if outcome.error_code:
        return [(Text(f"failed: {outcome.error_code}", style="red"), "")]
    if not outcome.findings:
        return [(Text("nothing found", style="dim"), "")]
    return [
        (Text(_printable(finding.label)), f"{finding.confidence:.2f}")
        for finding in outcome.findings
    ]


def _printable(text: str) -> str:
    """``text`` without control characters, which could command the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _shown(path: Path) -> str:
    """A path as short as it can be: relative if it lies below the current folder."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
