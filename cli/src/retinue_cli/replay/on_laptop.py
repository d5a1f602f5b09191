"""Retry images of the laptop's history: upload their files again for a worker."""

import hashlib
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue
from retinue_aws import AwsClient
from retinue_history.analysis.failures import ReplayImage
from retinue_sdk import AnyDetector
from retinue_workers.settings.video import VideoSampling
from rich.console import Console

from retinue_cli.local.folders import Folders
from retinue_cli.local.photographs import Photograph, package_photographs
from retinue_cli.local.resources import is_empty, stop_notifications
from retinue_cli.local.signals import Interruption
from retinue_cli.local.stack import LocalStack, local_stack, local_worker
from retinue_cli.local.state import State
from retinue_cli.local.upload import upload
from retinue_cli.local.video_decoder import ensure_decoder
from retinue_cli.local.worker_process import WorkerProcess
from retinue_cli.replay.message import replay_body
from retinue_cli.replay.sender import Sender

_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Originals:
    """The files of images.

    Attributes:
        found: Images with their unchanged files.
        gone: Keys of images whose files have been moved, changed or deleted.
    """

    found: Sequence[tuple[ReplayImage, Photograph]]
    gone: Sequence[str]


def find_originals(state: State, images: Collection[ReplayImage]) -> Originals:
    """Find the files that images of the laptop's history were made from.

    Raises:
        LaptopError: The names of the folders can't be read.
    """
    folders = Folders(state.folders)
    packaged = {photograph.key: photograph.path for photograph in package_photographs()}
    found, gone = [], []
    for image in images:
        path = folders.path(image.key) or packaged.get(image.key)
        if path is not None and _etag(path) == image.version:
            found.append((image, Photograph(path, image.key)))
        else:
            gone.append(image.key)
    return Originals(found, gone)


def retry(
    state: State,
    originals: Originals,
    made: Sequence[AnyDetector],
    detectors: Mapping[str, Mapping[str, JsonValue]],
    console: Console,
    *,
    plugins_dir: Path | None = None,
    videos: Mapping[str, VideoSampling],
) -> None:
    """Process images again. Return when each has an outcome.

    Args:
        state: The folder of the history.
        originals: The images, each with the names of its detectors.
        made: All of these detectors.
        detectors: Their names with their options.
        console: The console for the output.
        plugins_dir: A folder of single-file plugins.
        videos: The frames of videos that detectors receive.

    Raises:
        LaptopError: A problem on this machine.
        KeyboardInterrupt: The user stopped it. Everything it started has ended by then.
    """
    with Interruption() as interruption, ExitStack() as entered:
        try:
            stack = entered.enter_context(local_stack(state, console))
            photographs = [photograph for _, photograph in originals.found]
            # The event of an upload would run the detectors once more, and also those that weren't
            # asked for.
            stop_notifications(stack.endpoint, stack.wiring)
            upload(stack.endpoint, stack.wiring.bucket, photographs, lambda _: interruption.check())
            client = AwsClient(stack.endpoint.client("sqs"))
            with Sender(client, stack.wiring.queue_url) as sender:
                for _ in sender.send(replay_body(image) for image, _ in originals.found):
                    interruption.check()
            has_videos = any(photograph.is_video for photograph in photographs)
            if has_videos and videos:
                ensure_decoder(lambda: console.print("[dim]installing the decoder of videos[/]"))
            worker = entered.enter_context(
                local_worker(
                    stack,
                    made,
                    detectors,
                    console,
                    plugins_dir=plugins_dir,
                    videos=videos if has_videos else {},
                )
            )
            _wait(stack, worker, interruption, console)
        finally:
            interruption.ignore()


def _wait(
    stack: LocalStack, worker: WorkerProcess, interruption: Interruption, console: Console
) -> None:
    """Wait until the queue is empty."""
    with console.status("trying again") as status:
        while not is_empty(stack.endpoint, stack.wiring):
            interruption.check()
            worker.check()
            if complaint := worker.complaint():
                status.update(f"trying again; {complaint}")
            time.sleep(_POLL_SECONDS)


def _etag(path: Path) -> str | None:
    """Return the ETag that a file has in the bucket; ``None`` if it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except OSError:
        return None
