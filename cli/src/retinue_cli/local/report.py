"""Print the end of a run: the table, the totals, and queries to try."""

import csv
import json
import os
import shlex
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from retinue_cli.local.findings import Outcome
from retinue_cli.local.photographs import Photograph
from retinue_cli.local.progress import Done
from retinue_cli.output.attributes import brief, detection_columns, printable, span
from retinue_cli.output.table import Examples, Name, least_cells
from retinue_cli.output.terminal import data_output
from retinue_cli.output.words import count

MAX_IMAGES = 20
"""Maximum number of images whose findings are listed one by one, unless all are requested."""

MAX_ROWS = 60
"""Maximum number of rows of a table, unless all are requested."""

MAX_FILES = 10
"""Maximum number of files that are named for a cause of failure, unless all are requested."""

EXAMPLES = 3
"""Maximum number of images that are named for a label."""

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
        "Which images failed, and why?",
        "select key, detector, error_code, error_message from failed_runs order by started_at desc",
    ),
)
"""Three queries to begin with: a title, and SQL on the history's views."""


@dataclass(frozen=True, slots=True)
class PhotographResult:
    """A photograph with its detectors' results, in the order of the detectors.

    Attributes:
        photograph: The photograph.
        outcomes: The newest run of each detector.
    """

    photograph: Photograph
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class UnreadFile:
    """A file that no detector received.

    Attributes:
        name: Its name for messages.
        reason: The reason.
    """

    name: str
    reason: str


def print_findings(
    console: Console,
    results: Sequence[PhotographResult],
    unread: Sequence[UnreadFile],
    *,
    everything: bool,
) -> None:
    """Print findings by image. For many images, count them by label with examples."""
    if len(results) > MAX_IMAGES and not everything:
        _print_counts(console, results)
    else:
        _print_images(console, results, unread, everything=everything)


def _print_images(
    console: Console,
    results: Sequence[PhotographResult],
    unread: Sequence[UnreadFile],
    *,
    everything: bool,
) -> None:
    rows = [
        (result.photograph.key, outcome.detector, *line)
        for result in results
        for outcome in result.outcomes
        for line in _lines(outcome)
    ]
    rows += [
        (file.name, "", Text(f"not read: {file.reason}", style="red"), "", "", "")
        for file in unread
    ]
    shown = rows if everything else rows[:MAX_ROWS]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("image", min_width=least_cells(printable(row[0]) for row in shown))
    table.add_column("detector", no_wrap=True)
    labels = least_cells(row[2].plain for row in shown)
    table.add_column("label", overflow="fold", min_width=labels)
    table.add_column("confidence", justify="right", no_wrap=True)
    has_times = any(row[4] for row in shown)
    if has_times:
        table.add_column("time", no_wrap=True)
    has_attributes = any(row[5] for row in shown)
    if has_attributes:
        table.add_column("attributes", overflow="fold", min_width=len("attributes"))
    previous = None
    for image, detector, label, confidence, time, attributes in shown:
        name = Name(printable(image) if image != previous else "")
        extra = [time] if has_times else []
        extra += [attributes] if has_attributes else []
        table.add_row(name, detector, label, confidence, *map(Text, extra))
        previous = image
    console.print(table)
    if len(rows) > len(shown):
        console.print(f"… and {len(rows) - len(shown):,} more rows: --all prints them\n")


def _print_counts(console: Console, results: Sequence[PhotographResult]) -> None:
    """Print one row per detector and label, the most frequent first."""
    found: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    rest: dict[tuple[str, str], list[str]] = defaultdict(list)
    for result in results:
        for outcome in result.outcomes:
            for finding in outcome.findings:
                at = (outcome.detector, finding.label)
                found[at].append((-finding.confidence, result.photograph.key))
            if outcome.outcome != "succeeded" or not outcome.findings:
                what = "nothing found" if outcome.outcome == "succeeded" else outcome.outcome
                rest[outcome.detector, what].append(result.photograph.key)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("detector", no_wrap=True)
    labels = least_cells(printable(label) for _, label in found)
    table.add_column("label", overflow="fold", min_width=labels)
    table.add_column("images", justify="right", no_wrap=True)
    table.add_column("detections", justify="right", no_wrap=True)
    table.add_column("such as")
    detectors = dict.fromkeys(one.detector for result in results for one in result.outcomes)
    left_out = 0
    for detector in detectors:
        previous = ""
        rows = []
        for (of, label), findings in found.items():
            if of == detector:
                keys = list(dict.fromkeys(key for _, key in sorted(findings)))
                rows.append((len(keys), len(findings), Text(printable(label)), keys))
        rows.sort(key=lambda row: (-row[0], -row[1], row[2].plain))
        left_out += len(rows[MAX_ROWS:])
        rows = rows[:MAX_ROWS] + [
            (len(keys), 0, Text(what, style="red" if what == "failed" else "dim"), keys)
            for (of, what), keys in rest.items()
            if of == detector
        ]
        for images, detections, word, keys in rows:
            table.add_row(
                detector if detector != previous else "",
                word,
                f"{images:,}",
                f"{detections:,}" if detections else "",
                Examples([printable(key) for key in keys[:EXAMPLES]]),
            )
            previous = detector
    console.print(table)
    if left_out:
        console.print(f"… and {left_out:,} more labels: --all lists every image\n")


def print_totals(
    console: Console, results: Sequence[PhotographResult], done: Done, seconds: float
) -> None:
    """Print the counts of runs, failures and skips, and the cost."""
    outcomes = [outcome for result in results for outcome in result.outcomes]
    detections = sum(len(outcome.findings) for outcome in outcomes)
    failed = sum(outcome.outcome == "failed" for outcome in outcomes)
    skipped = sum(outcome.outcome == "skipped" for outcome in outcomes)
    price_usd = sum(outcome.price_usd for outcome in outcomes)
    console.print(
        f"[bold]{_files_looked_at(results)}[/], {count(len(outcomes) - skipped, 'run')}, "
        f"[bold]{count(detections, 'detection')}[/]"
        + (f", [red]{count(failed, 'failed run')}[/]" if failed else "")
        + (f", {count(skipped, 'run')} skipped by routes" if skipped else "")
        + (f" for ${price_usd:.4f}" if price_usd else "")
        + f" in {seconds:.1f} s"
    )
    if done.new == 0:
        runs = "the run was" if done.known == 1 else f"all {done.known:,} runs were"
        console.print(f"Nothing new: {runs} already in the history.")
    elif done.known:
        were = "was" if done.known == 1 else "were"
        console.print(
            f"{count(done.new, 'new run')}; {done.known:,} {were} already in the history."
        )
    made_by = dict.fromkeys(
        f"{one.detector} version {one.detector_version}"
        + (f", model {printable(one.model_version)}" if one.model_version else "")
        for one in outcomes
        if one.outcome == "succeeded"
    )
    if made_by:
        console.print(Text("; ".join(made_by), style="dim"))


def _files_looked_at(results: Sequence[PhotographResult]) -> str:
    videos = sum(result.photograph.is_video for result in results)
    parts = [count(len(results) - videos, "image")] if videos < len(results) or not videos else []
    return ", ".join([*parts, *([count(videos, "video")] if videos else [])])


def print_failures(
    console: Console,
    results: Sequence[PhotographResult],
    unread: Sequence[UnreadFile],
    log: Path,
    tracebacks: Mapping[str, str],
    *,
    everything: bool,
) -> None:
    """Print the failed files by cause, and the path of the log.

    Args:
        console: Where to print.
        results: Results of the detectors.
        unread: Files that no detector was given.
        log: The worker's log.
        tracebacks: Of detectors that raised.
        everything: Whether to name every file.
    """
    causes: dict[str, dict[str, dict[str, list[str]]]] = defaultdict(lambda: defaultdict(dict))
    number = len({outcome.detector for result in results for outcome in result.outcomes})
    for file in unread:
        causes["not read"][file.reason][file.name] = []
    for result in results:
        for outcome in result.outcomes:
            if outcome.outcome == "failed":
                files = causes[outcome.error_code or "failed"][outcome.error_message or ""]
                files.setdefault(result.photograph.key, []).append(outcome.detector)
    for code, messages in sorted(causes.items(), key=lambda cause: _files(cause[1]), reverse=True):
        many = count(_files(messages), "file")
        console.print(Text.assemble("\n", (code, "red"), f", {many}"), soft_wrap=True)
        lines = [
            (message, f"{name} ({', '.join(who)})" if 0 < len(who) < number else name)
            for message, files in messages.items()
            for name, who in files.items()
        ]
        previous = None
        for message, name in lines if everything else lines[:MAX_FILES]:
            if message != previous:
                console.print(Text(f"  {printable(message)}"), soft_wrap=True)
            console.print(Text(f"    {printable(name)}"), soft_wrap=True)
            previous = message
        if len(lines) > MAX_FILES and not everything:
            console.print(f"    … and {len(lines) - MAX_FILES:,} more: --all names them")
    for detector, traceback in tracebacks.items():
        console.print(Text.assemble("\n", (detector, "red"), " raised:"))
        console.print(Text(traceback), soft_wrap=True)
    if causes:
        console.print(f"[dim]The worker's log: {_shown(log)}[/]", soft_wrap=True)


def print_truncated(
    console: Console, results: Sequence[PhotographResult], *, everything: bool
) -> None:
    """Print the files of which detectors saw only a part."""
    files = [
        result.photograph.key
        for result in results
        if any(outcome.truncated for outcome in result.outcomes)
    ]
    if not files:
        return
    console.print(Text.assemble("\n", ("truncated", "yellow"), f", {count(len(files), 'file')}"))
    console.print("  The file ends early or is damaged. Detectors saw only a part of it.")
    for name in files if everything else files[:MAX_FILES]:
        console.print(Text(f"    {printable(name)}"), soft_wrap=True)
    if len(files) > MAX_FILES and not everything:
        console.print(f"    … and {len(files) - MAX_FILES:,} more: --all names them")


def _files(messages: Mapping[str, Mapping[str, object]]) -> int:
    return len({name for files in messages.values() for name in files})


def write_json(
    file: TextIO, results: Sequence[PhotographResult], unread: Sequence[UnreadFile]
) -> None:
    """Write a list with an object for each image, with its runs and their detections."""
    images: list[dict[str, Any]] = [
        {
            "key": result.photograph.key,
            "path": _path(result.photograph),
            "error": None,
            "runs": [
                {
                    **_run(outcome),
                    "detections": [detection_columns(one) for one in outcome.findings],
                }
                for outcome in result.outcomes
            ],
        }
        for result in results
    ]
    images += [{"key": None, "path": one.name, "error": one.reason, "runs": []} for one in unread]
    json.dump(images, file, indent=2)
    file.write("\n")


def write_csv(
    file: TextIO, results: Sequence[PhotographResult], unread: Sequence[UnreadFile]
) -> None:
    """Write a row for each detection, for each run without one, and for each file without a run."""
    table = csv.DictWriter(data_output(file), _COLUMNS, lineterminator="\n")
    table.writeheader()
    for result in results:
        for outcome in result.outcomes:
            image = {"key": result.photograph.key, "path": _path(result.photograph)}
            for finding in outcome.findings or (None,):
                row = image | _run(outcome)
                if finding is not None:
                    row |= detection_columns(finding)
                    row["attributes"] = json.dumps(finding.attributes)
                table.writerow(row)
    for one in unread:
        table.writerow({"path": one.name, "outcome": "not read", "error_message": one.reason})


def _run(outcome: Outcome) -> dict[str, Any]:
    return {
        "detector": outcome.detector,
        "detector_version": outcome.detector_version,
        "model_version": outcome.model_version,
        "outcome": outcome.outcome,
        "error_code": outcome.error_code,
        "error_message": outcome.error_message,
        "truncated": outcome.truncated,
    }


_COLUMNS = [
    *("key", "path", "detector", "detector_version", "model_version", "outcome", "error_code"),
    *("error_message", "truncated", "kind", "label", "confidence", "box_left", "box_top"),
    *("box_width", "box_height", "start_ms", "end_ms", "track", "attributes"),
]


def _path(photograph: Photograph) -> str:
    return str(photograph.path.absolute()).encode(errors="backslashreplace").decode()


def print_pictures(console: Console, pictures: Path) -> None:
    """Print the folder of the pictures."""
    console.print(f"\nPictures with boxes: [bold]{_shown(pictures)}/[/]", soft_wrap=True)


def print_questions(console: Console) -> None:
    """Print three queries that are ready to paste."""
    console.print("\nQuery the history in SQL, for example:")
    program = shlex.quote(_shown(Path(sys.executable).with_name("retinue")))
    for title, sql in QUESTIONS:
        console.print(f"\n  [dim]# {title}[/]")
        console.print(
            Text(f'  {program} query "{sql}"'), soft_wrap=True, highlight=False, markup=False
        )


def print_disk(console: Console, folders: Mapping[str, Path]) -> None:
    """Print the size of each folder on disk."""
    sizes = [
        f"{_shown(folder)} {_size_bytes(folder) / 1e6:,.0f} MB ({what})"
        for what, folder in folders.items()
    ]
    console.print(Text(f"\nOn disk: {'; '.join(sizes)}", style="dim"), soft_wrap=True)


def _size_bytes(folder: Path) -> int:
    paths = (Path(where, name) for where, _, names in os.walk(folder) for name in names)
    return sum(os.lstat(path).st_blocks * 512 for path in paths)


def _lines(outcome: Outcome) -> Iterator[tuple[Text, str, str, str]]:
    """Yield label, confidence, time and attributes of each finding, or one line without any."""
    if outcome.outcome == "failed":
        yield Text(f"failed: {outcome.error_code}", style="red"), "", "", ""
    elif outcome.outcome == "skipped":
        yield Text(f"skipped: {printable(outcome.error_message or '')}", style="dim"), "", "", ""
    elif not outcome.findings:
        yield Text("nothing found", style="dim"), "", "", ""
    for finding in outcome.findings:
        label = printable(finding.label)
        if finding.track is not None:
            label += f" #{finding.track}"
        yield (
            Text(label),
            f"{finding.confidence:.2f}",
            span(finding.start_ms, finding.end_ms),
            brief(finding.attributes),
        )


def _shown(path: Path) -> str:
    """Return a path in its shortest form: relative if it is below the current folder."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
