"""Run detectors on photographs on a laptop."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO
from uuid import UUID

from pydantic import JsonValue
from retinue_history import DetectorConfiguration
from retinue_history.db.engine import create_history_engine
from retinue_sdk import (
    AnyDetector,
    DetectorError,
    ImageReference,
    InvalidImageError,
    JobDetector,
)
from retinue_sdk.cores import usable_cores
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.settings.video import VideoSampling
from rich.console import Console
from rich.markup import escape
from rich.text import Text
from sqlalchemy import Engine, text

from retinue_cli.loading import loading
from retinue_cli.local.configurations import detector_configurations, video_configurations
from retinue_cli.local.console_process import ConsoleProcess
from retinue_cli.local.emulator_environment import EmulatorEnvironment
from retinue_cli.local.endpoint import REGION, AwsEndpoint
from retinue_cli.local.errors import LaptopError
from retinue_cli.local.findings import forget_runs, has_no_runs, outcomes
from retinue_cli.local.folders import Folders
from retinue_cli.local.local_service import needed, warning
from retinue_cli.local.photographs import (
    FolderPhotographs,
    Photograph,
    SkippedFile,
    folder_of,
    nothing_found,
    package_photographs,
    passed_over,
    search,
    shown,
)
from retinue_cli.local.plugin_code import PluginCode
from retinue_cli.local.progress import Done, Progress
from retinue_cli.local.report import (
    PhotographResult,
    UnreadFile,
    print_disk,
    print_failures,
    print_findings,
    print_pictures,
    print_questions,
    print_totals,
    print_truncated,
)
from retinue_cli.local.resources import Wiring, is_empty
from retinue_cli.local.signals import Interruption
from retinue_cli.local.stack import BUCKET, local_stack, local_worker
from retinue_cli.local.state import State
from retinue_cli.local.upload import Upload, upload
from retinue_cli.local.video_decoder import ensure_decoder
from retinue_cli.local.videos import default_sampling, draw_video
from retinue_cli.local.watch import watch
from retinue_cli.local.worker_process import WorkerProcess
from retinue_cli.output.draw import draw
from retinue_cli.output.words import escaped

MAX_LINES = 10
"""Maximum number of lines about links to files that are included anyway."""

EXIT_INCOMPLETE = 1
"""Exit code if an image has no outcome."""


def run(
    images: Sequence[Path],
    detectors: Mapping[str, Mapping[str, JsonValue]],
    console: Console,
    *,
    again: bool = False,
    plugins_dir: Path | None = None,
    videos: Mapping[str, VideoSampling] | None = None,
    everything: bool = False,
    web: ConsoleProcess | None = None,
    write: Callable[[TextIO, Sequence[PhotographResult], Sequence[UnreadFile]], None] | None = None,
) -> int:
    """Run detectors on photographs as in the cloud, and return the exit code.

    Args:
        images: Folders (searched recursively) and files. Without any, the sample photographs.
        detectors: Detector names with their options.
        console: The console for the output.
        again: Replace earlier runs of these detectors and options on these photographs.
        plugins_dir: A folder of single-file plugins.
        videos: The frames of videos that detectors receive; by default one a second for all that
            take pixels.
        everything: Whether to list all images and files.
        web: The web console to start, as soon as there is a history.
        write: Writes the results to standard output for a program, instead of the list.

    Returns:
        The exit code: 0, or 1 if some image has no outcome, or could not be read or uploaded.

    Raises:
        LaptopError: A problem on this machine. The message has the remedy.
        ConfigurationError: A detector or an option doesn't exist.
        KeyboardInterrupt: The user stopped it. Everything it started has ended by then.
    """
    began = time.monotonic()
    os.environ["AWS_REGION"] = REGION  # the emulator's region; profiles need none
    # Report a wrong option before anything is started.
    with loading():
        plugins = Plugins(folder=plugins_dir)
        made = plugins.make(detectors)
        keys = detector_configurations(plugins, made)
    sampled = default_sampling(made) if videos is None else videos
    state = State.find()
    is_new = not state.directory.exists()
    folders = Folders(state.folders)
    code = PluginCode(state.plugin_code)
    if again:
        code.renew(made)
    changed = code.changed(made)
    found = find(images, folders, console)
    if found.has_videos and sampled and not _has_decoder(console):
        sampled = {}
    of_jobs = [key for each, key in zip(made, keys, strict=True) if isinstance(each, JobDetector)]
    of_images = [key for key in keys if key not in of_jobs]
    of_videos = [*video_configurations(keys, sampled), *of_jobs] if found.has_videos else []
    if found.has_videos and not of_videos:
        console.print("[yellow]none of the detectors processes videos; they stay unread[/]")
    all_keys = [*of_images, *of_videos]
    with Interruption() as interruption, ExitStack() as stack:
        try:
            local = stack.enter_context(local_stack(state, console))
            folders.save()
            code.save()
            if web is not None:
                web.start()
            endpoint, wiring = local.endpoint, local.wiring
            services = needed(made, detectors)
            engine = create_history_engine(local.database_url, application_name="retinue run")
            stack.callback(engine.dispose)
            is_first = has_no_runs(engine)
            if again:
                forget_runs(engine, BUCKET, [one.key for one in found.photographs], all_keys)
            worker = stack.enter_context(
                local_worker(
                    local,
                    made,
                    detectors,
                    console,
                    plugins_dir=plugins_dir,
                    videos=sampled if of_videos else {},
                )
            )
            _announce(console, endpoint, made)
            if web is not None:
                _announce_console(console, web)
            _warn(console, [warning(each, names) for each, names in services.items()])
            uploads, done, complete = _process(
                console,
                engine,
                endpoint,
                wiring,
                worker,
                of_images,
                of_videos,
                found.photographs,
                interruption,
            )
            seconds = time.monotonic() - began
            uploaded = {_image_id(one): one.photograph for one in uploads if one.error is None}
            results = _results(engine, uploaded, all_keys)
            pictures = _draw(console, state, results, sampled, interruption)
        except KeyboardInterrupt:
            if web is not None:
                web.terminate()  # everything ends at the same time
            raise
        finally:
            interruption.ignore()
    unread = [UnreadFile(shown(file.path), file.reason) for file in found.skipped]
    unread += [UnreadFile(one.photograph.key, one.error) for one in uploads if one.error]
    if write is not None:
        write(sys.stdout, results, unread)
    else:
        print_findings(console, results, unread, everything=everything)
    print_totals(console, results, done, seconds)
    for names in services.values():
        _warn(console, [f"{', '.join(names)}: invented by an emulator, as said above"])
    if done.known:
        _warn(console, [_stale(detector) for detector in changed])
    raised = any(each.error_code == "unexpected_error" for one in results for each in one.outcomes)
    tracebacks = worker.tracebacks() if raised else {}
    print_failures(
        console, results, unread, state.logs / "worker.log", tracebacks, everything=everything
    )
    print_truncated(console, results, everything=everything)
    if pictures is not None:
        print_pictures(console, pictures)
    if is_first:
        print_questions(console)
    if is_new:
        emulator = EmulatorEnvironment().directory
        print_disk(
            console,
            {"history, pictures, logs": state.directory}
            | ({"S3, SNS and SQS": emulator} if emulator.exists() else {}),
        )
    if not complete:
        console.print(
            f"\n[red]Some images have no outcome.[/] The reason is in {state.logs / 'worker.log'}"
        )
    return 0 if complete and not unread else EXIT_INCOMPLETE


def find(images: Sequence[Path], folders: Folders, console: Console) -> FolderPhotographs:
    """Return the photographs, each once, and print which files are skipped."""
    if not images:
        return FolderPhotographs(tuple(package_photographs()))
    roots = dict.fromkeys(map(folder_of, images))
    keys = {root: folders.add(root) for root in roots}
    for root in roots:
        if folders.is_renamed(root):
            console.print(
                f"[dim]another folder is called {escape(root.resolve().name)}: "
                f"keys of {escape(shown(root))} begin with {escape(folders.name(root))}[/]"
            )
    photographs: dict[Path, Photograph] = {}
    skipped: dict[Path, SkippedFile] = {}
    others: dict[str, dict[Path, Path]] = {}
    for path in dict.fromkeys(images):
        root = folder_of(path)
        found = search(path, keys[root])
        _print_repeated(console, found, root)
        skipped |= {_place(file.path): file for file in found.skipped}
        for kind, paths in found.others.items():
            others.setdefault(kind, {}).update({_place(path): path for path in paths})
        for each in found.photographs:
            photographs.setdefault(each.path.resolve(), each)
    result = FolderPhotographs(
        tuple(photographs.values()),
        tuple(skipped.values()),
        others={kind: tuple(paths.values()) for kind, paths in others.items()},
    )
    if not photographs:
        raise nothing_found(images, result)
    if others:
        console.print(f"[dim]{escape(passed_over(result.others))}[/]")
    return result


def _place(path: Path) -> Path:
    """Return a file's path by which it is the same, however its folder was reached."""
    return path.parent.resolve() / path.name


def _has_decoder(console: Console) -> bool:
    """Return whether videos can be decoded, after installing the decoder if necessary."""
    try:
        ensure_decoder(
            lambda: console.print(
                "[dim]installing the decoder of videos (PyAV, 36 MB to download, 104 MB on disk)[/]"
            )
        )
    except LaptopError as error:
        _warn(console, [str(error)])
        return False
    return True


def _print_repeated(console: Console, found: FolderPhotographs, root: Path) -> None:
    """Print which links of a folder lead to files that are included anyway."""
    for file in found.repeated[:MAX_LINES]:
        where = escape(shown(file.path.relative_to(root)))
        console.print(f"[dim]link not followed: {where} {escape(file.reason)}[/]")
    if len(found.repeated) > MAX_LINES:
        console.print(f"[dim]… and {len(found.repeated) - MAX_LINES:,} more such links[/]")


def _announce(console: Console, endpoint: AwsEndpoint, detectors: Sequence[AnyDetector]) -> None:
    names = ", ".join(f"{detector.name} (version {detector.version})" for detector in detectors)
    console.print(f"[dim]S3, SNS, SQS at {endpoint.url}; detectors: {names}[/]")


def _announce_console(console: Console, web: ConsoleProcess) -> None:
    """Print the console's address, or why there is none: the run doesn't depend on it."""
    try:
        console.print(Text(web.announcement(), style="bold"), soft_wrap=True)
    except LaptopError as error:
        _warn(console, [str(error)])


def _stale(detector: AnyDetector) -> str:
    return (
        f"{detector.name}: its code has changed since version {detector.version} was first used "
        "here, and its version has not. Earlier detections are kept. --again processes the "
        "photographs again and replaces them. With a higher version, both are kept."
    )


def _warn(console: Console, warnings: Sequence[str]) -> None:
    for each in warnings:
        console.print(f"[bold yellow]{escape(each)}[/]")


def _process(
    console: Console,
    engine: Engine,
    endpoint: AwsEndpoint,
    wiring: Wiring,
    worker: WorkerProcess,
    keys: Sequence[DetectorConfiguration],
    of_videos: Sequence[DetectorConfiguration],
    photographs: Sequence[Photograph],
    interruption: Interruption,
) -> tuple[list[Upload], Done, bool]:
    """Upload the photographs and wait for their outcomes.

    Returns:
        The uploads, the number of runs with an outcome, and whether that is all of them.
    """
    with engine.connect() as connection:
        since = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    progress = Progress(engine, [*keys, *of_videos], wiring.queue_arn, since)

    def runs(uploaded: Sequence[Photograph]) -> int:
        return sum(len(of_videos if each.is_video else keys) for each in uploaded)

    with watch(console, files=len(photographs), runs=runs(photographs)) as view:

        def uploaded(one: Upload) -> None:
            del one
            interruption.check()
            view.uploaded()

        def check() -> None:
            interruption.check()
            worker.check()

        uploads = upload(endpoint, wiring.bucket, photographs, uploaded)
        image_ids = {_image_id(one): one.photograph for one in uploads if one.error is None}
        total = runs(list(image_ids.values()))
        done, complete = view.follow(
            lambda: progress.done(image_ids),
            total,
            check=check,
            complaint=worker.complaint,
            videos=worker.videos,
            is_idle=lambda: is_empty(endpoint, wiring) and not progress.open_jobs(image_ids),
        )
    return uploads, done, complete


def _image_id(one: Upload) -> UUID:
    return ImageReference(BUCKET, one.photograph.key, etag=one.etag).image_id


def _results(
    engine: Engine, uploaded: Mapping[UUID, Photograph], keys: Sequence[DetectorConfiguration]
) -> list[PhotographResult]:
    """Return the results of each photograph, ordered by key."""
    found = outcomes(engine, uploaded, keys)
    names = dict.fromkeys(key.detector for key in keys)
    return [
        PhotographResult(
            photograph,
            tuple(found[image_id, name] for name in names if (image_id, name) in found),
        )
        for image_id, photograph in uploaded.items()
    ]


def _draw(
    console: Console,
    state: State,
    results: Sequence[PhotographResult],
    videos: Mapping[str, VideoSampling],
    interruption: Interruption,
) -> Path | None:
    """Draw the boxes. Return the folder, or ``None`` if there was nothing to draw."""
    looked_at = [
        result
        for result in results
        if any(outcome.outcome == "succeeded" for outcome in result.outcomes)
    ]

    def draw_one(result: PhotographResult) -> str | None:
        interruption.check()
        if result.photograph.is_video:
            return draw_frames(result)
        found = [one for outcome in result.outcomes for one in outcome.findings]
        try:
            draw(result.photograph.path, found, state.picture(result.photograph.key))
        except (OSError, InvalidImageError) as error:  # removed, invalid, or the name is too long
            return _no_picture("no picture of", result.photograph.key, error)
        return None

    def draw_frames(result: PhotographResult) -> str | None:
        key = result.photograph.key
        try:
            draw_video(result, videos, state.frames(key), interruption.check)
        except (OSError, DetectorError) as error:
            return _no_picture("no pictures of", key, error)
        return None

    with console.status("drawing the boxes"), ThreadPoolExecutor(usable_cores()) as pool:
        problems = [problem for problem in pool.map(draw_one, looked_at) if problem]
    for problem in problems:
        console.print(problem)
    return state.annotated if len(problems) < len(looked_at) else None


def _no_picture(title: str, key: str, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return f"[yellow]{title}[/] {escape(escaped(key))}: {escape(reason or str(error))}"
