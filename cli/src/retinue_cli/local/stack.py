"""PostgreSQL, S3, SNS and SQS on one machine, for commands without a cloud account."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue
from retinue_history.schema.version import current_revision, head_revision
from retinue_sdk import AnyDetector
from retinue_workers.settings.video import VideoSampling
from rich.console import Console

from retinue_cli.local.emulator import Emulator
from retinue_cli.local.endpoint import AwsEndpoint, named_endpoint
from retinue_cli.local.local_service import LocalServiceProcess, needed
from retinue_cli.local.postgres import EmbeddedPostgres
from retinue_cli.local.postgres_install import ROOTS_SUBSTITUTE, lacks_user
from retinue_cli.local.processes import Processes
from retinue_cli.local.resources import Wiring, wire
from retinue_cli.local.state import State
from retinue_cli.local.worker_process import WorkerProcess

BUCKET = "retinue-images"
"""The emulated bucket. Topic and queues are named after it."""


@dataclass(frozen=True, slots=True)
class LocalStack:
    """The services inside ``local_stack``.

    Attributes:
        state: The folder, locked.
        processes: Registers the started processes.
        database_url: The history, migrated, as its owner.
        endpoint: The endpoint of S3, SNS and SQS.
        wiring: The bucket and its queue.
    """

    state: State
    processes: Processes
    database_url: str
    endpoint: AwsEndpoint
    wiring: Wiring


@contextmanager
def local_stack(state: State, console: Console) -> Iterator[LocalStack]:
    """Run the history, a bucket and its queue inside the block, and stop them at its end.

    Args:
        state: The folder of the history. The block uses it exclusively.
        console: The console for the output.

    Raises:
        LaptopError: A service doesn't start, or another run uses the folder.
    """
    with ExitStack() as stack:
        stack.enter_context(state.lock())
        processes = Processes(state)
        emulator = Emulator(state, processes)
        stack.callback(emulator.stop)  # after PostgreSQL: both end at the same time
        for name in processes.end_leftovers():
            console.print(f"[dim]ended {name}, left over from a run that was killed[/]")
        if lacks_user():
            console.print(
                f"creating the system user {ROOTS_SUBSTITUTE}: PostgreSQL refuses to run as root"
            )
        with console.status("starting PostgreSQL"):
            postgres = stack.enter_context(EmbeddedPostgres(state))
            if current_revision(postgres.url()) != head_revision():
                from retinue_history.schema.migrate import upgrade  # 0.5 s, of which Alembic most

                upgrade(postgres.url())
        with console.status("starting S3, SNS and SQS (the first run installs them: 55 MB, 10 s)"):
            endpoint = _endpoint(emulator)
            stack.callback(emulator.terminate)
            wiring = wire(endpoint, BUCKET)
        yield LocalStack(state, processes, postgres.url(), endpoint, wiring)


@contextmanager
def local_worker(
    stack: LocalStack,
    made: Sequence[AnyDetector],
    detectors: Mapping[str, Mapping[str, JsonValue]],
    console: Console,
    *,
    plugins_dir: Path | None = None,
    videos: Mapping[str, VideoSampling] | None = None,
) -> Iterator[WorkerProcess]:
    """Run a worker inside the block, and the local services that its detectors need.

    Args:
        stack: The stack with queue and history.
        made: The detectors.
        detectors: The detectors' names with their options.
        console: The console for the output.
        plugins_dir: A folder of single-file plugins.
        videos: The frames of videos that detectors receive; by default those of RETINUE_VIDEO.

    Raises:
        LaptopError: A program doesn't start.
    """
    with ExitStack() as services:
        variables = {}
        if videos is not None:
            sampling = {name: each.model_dump() for name, each in videos.items()}
            variables["RETINUE_VIDEO"] = json.dumps(sampling)
        for each in needed(made, detectors):
            with console.status(f"starting an emulator of {each.service}"):
                process = LocalServiceProcess(each, stack.state, stack.processes, stack.endpoint)
                variables[each.variable] = services.enter_context(process).url
        yield services.enter_context(
            WorkerProcess(
                stack.state,
                stack.processes,
                endpoint=stack.endpoint,
                queue_url=stack.wiring.queue_url,
                database_url=stack.database_url,
                detectors=detectors,
                variables=variables,
                plugins_dir=plugins_dir,
            )
        )


def _endpoint(emulator: Emulator) -> AwsEndpoint:
    """Return the user's LocalStack, or start the emulator."""
    named = named_endpoint()
    if named is not None:
        named.check()
        return named
    emulator.start()
    return emulator.endpoint
