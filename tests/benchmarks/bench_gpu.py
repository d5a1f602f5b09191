"""Measure a detector on a GPU, against bare loops: ``make bench BENCHMARKS=gpu``.

Without a GPU, an accelerator is simulated: it computes one batch at a time, 64 images in 16 ms, by
sleeping without the interpreter lock, and answers with a network's real rows. All other work is
real. R1 is ``detect`` with prepared images, R2 the worker's loading threads and runner with local
files, and R3 the whole worker with S3, SQS and Postgres, which needs a GPU. Each is divided by a
loop that has the same decoder, threads, buffers and accelerator, and reads no answer.

On two cores, decoding is slower than the accelerator. So R2 is measured twice: with photographs,
and with canvases that are ready, which leave the worker's own work at the accelerator's speed.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import chain, islice, repeat
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import structlog
from fakes import work
from fakes.history import MemoryHistory
from onnx import helper
from retinue_onnx.accelerator import Accelerator, Buffers
from retinue_onnx.detector import Placed
from retinue_onnx.execution import CPU, DEFAULT_PROVIDERS, ON_CPU
from retinue_onnx.fused import CANVASES, ROWS, SUMS
from retinue_onnx.graph import Graph
from retinue_onnx.objects import ObjectDetector, ObjectOptions
from retinue_onnx.parallelism import ACCELERATOR_WAIT_MS
from retinue_onnx.session import new_session, session_provider
from retinue_sdk import Image
from retinue_workers.detectors.filters import Filters
from retinue_workers.detectors.runner import DetectorRunner
from retinue_workers.detectors.suspects import Successes
from retinue_workers.intake.prefetch import Prefetch
from retinue_workers.limits.budget import Budget
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.work import Task

from benchmarks.backlog import Site, drain
from benchmarks.local_model import LocalRetinue, photographs

ItemT = TypeVar("ItemT")

BATCH = 64
SECONDS_PER_BATCH = 0.016
IN_FLIGHT = 2
IMAGES_HELD = 5 * BATCH
CORES = len(os.sched_getaffinity(0))
STAGES = ("fetch", "decode", "prepare", "wait", "copy", "compute", "post")


class SimulatedAccelerator(Accelerator):
    """Sleeps, one batch at a time, and answers with the same rows for each image."""

    def __init__(self, rows: Any) -> None:
        graph = Graph()
        images = graph.part(graph.op("Shape", CANVASES), 0, 1, axis=0)
        size = graph.op("Concat", images, graph.constant(rows.shape, np.int64), axis=0)
        graph.op("Expand", graph.constant(rows), size, name=ROWS)
        graph.op("Expand", graph.constant([0]), images, name=SUMS)
        shapes = {CANVASES: ["N", "H", "W", 3], ROWS: ["N", *rows.shape], SUMS: ["N"]}
        entry, *ends = (
            helper.make_tensor_value_info(name, 2 if name == CANVASES else 1, shape)
            for name, shape in shapes.items()
        )
        made = helper.make_graph(graph.nodes, "rows", [entry], ends, graph.constants)
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        session = new_session(model.SerializeToString(), ON_CPU)
        super().__init__(session, provider=CPU, max_images=BATCH)
        self._device_lock = Lock()
        self._free_at = 0.0

    def compute(self, buffers: Buffers) -> None:
        super().compute(buffers)
        seconds = max(0.002, SECONDS_PER_BATCH * len(buffers.canvases) / BATCH)
        with self._device_lock:  # as a GPU's stream: a batch begins when the one before ends
            ends_at = self._free_at = max(time.perf_counter(), self._free_at) + seconds
        time.sleep(max(0.0, ends_at - time.perf_counter()))


class Ready(ObjectDetector):
    """Takes canvases that are ready, by the names of images."""

    canvases: Mapping[str, Placed] = MappingProxyType({})

    def prepare(self, image: Image) -> Placed:
        image.read()
        name = image.reference.key[-7:]
        return self.canvases[name] if name in self.canvases else super().prepare(image)


def started(kind: type[ObjectDetector], *, is_simulated: bool) -> ObjectDetector:
    """Return a detector on the GPU, or on a simulated one."""
    detector = kind(
        ObjectOptions(
            fused=True,
            max_batch_size=BATCH,
            max_concurrency=IN_FLIGHT,
            max_wait_ms=ACCELERATOR_WAIT_MS,
        )
    )
    detector.start()
    if is_simulated:
        crowd = Image.from_bytes(photographs(1)["photos/00000.jpg"])
        rows, _ = accelerator_of(detector).run([detector.prepare(crowd).canvas], no_stage)
        loaded: Any = detector._loaded
        accelerator = SimulatedAccelerator(rows[0])
        detector._loaded = replace(loaded, running=replace(loaded.running, accelerator=accelerator))
    return detector


def accelerator_of(detector: ObjectDetector) -> Accelerator:
    """Return the accelerator of a started detector."""
    loaded: Any = detector._loaded
    accelerator: Accelerator = loaded.running.accelerator
    return accelerator


def rate(call: Callable[[Sequence[Any]], Any], items: Sequence[Any], seconds: float) -> float:
    """Return items a second that calls with full batches process, two at a time."""
    batches = [items[first : first + BATCH] for first in range(0, len(items), BATCH)]
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        list(pool.map(call, batches * 2))
        until = time.perf_counter() + seconds
        began, done = time.perf_counter(), 0

        def work_on(_: int) -> int:
            count = 0
            for batch in chain.from_iterable(repeat(batches)):
                if time.perf_counter() >= until:
                    break
                call(batch)
                count += len(batch)
            return count

        done = sum(pool.map(work_on, range(IN_FLIGHT)))
        return done / (time.perf_counter() - began)


def no_stage(stage: str, seconds: float) -> None:
    """Ignore a stage."""


def r1(detector: ObjectDetector, images: Sequence[Image], seconds: float) -> tuple[float, float]:
    """Return images a second of ``detect`` and of the loop, for images that are prepared."""
    canvases = [image.prepared(detector.prepare).canvas for image in images]
    accelerator = accelerator_of(detector)
    loop = rate(lambda batch: accelerator.run(batch, no_stage), canvases, seconds)
    return rate(detector.detect, images, seconds), loop


def loop_over_files(detector: ObjectDetector, images: Iterator[Image], threads: int) -> float:
    """Return images a second of a loop that prepares on threads and computes full batches."""
    accelerator = accelerator_of(detector)
    began, count = time.perf_counter(), 0
    running: list[Future[Any]] = []
    with ThreadPoolExecutor(threads) as loaders, ThreadPoolExecutor(IN_FLIGHT) as callers:
        waiting = [loaders.submit(detector.prepare, image) for image in islice(images, IMAGES_HELD)]
        while waiting:
            batch, waiting = waiting[:BATCH], waiting[BATCH:]
            canvases = [one.result().canvas for one in batch]
            count += len(canvases)
            running.append(callers.submit(accelerator.run, canvases, no_stage))
            if len(running) > IN_FLIGHT:
                running.pop(0).result()
            waiting += [
                loaders.submit(detector.prepare, image) for image in islice(images, len(batch))
            ]
        for call in running:
            call.result()
    return count / (time.perf_counter() - began)


@asynccontextmanager
async def worker_parts(detector: ObjectDetector, threads: int, stages: dict[str, list[float]]):
    """Yield the worker's loading threads and runner."""
    gate, history_threads = ReceiveGate(), DaemonThreads("history", 1)
    budget = Budget(MemoryHistory(), history_threads, gate, prices={}, budgets={})
    prefetch = Prefetch(threads=threads, max_images=IMAGES_HELD, prepare_seconds=60.0)

    def observe(stage: str, seconds: float) -> None:
        stages[stage].append(seconds)

    detector.observe_stages(observe)
    runner = DetectorRunner(
        detector, timeout_seconds=60.0, gate=gate, budget=budget, prefetch=prefetch,
        filters=Filters(), successes=Successes(), on_stage=observe,
    )  # fmt: skip
    detector_start, detector.start = detector.start, lambda: None
    try:
        await runner.start()
        yield prefetch, runner
    finally:
        detector.start = detector_start
        runner.stop_calling()
        detector.close = lambda: None
        await runner.close(time.monotonic() + 5)
        prefetch.close()
        history_threads.close()


async def worker_over_files(
    detector: ObjectDetector,
    tasks: Iterator[Task],
    threads: int,
    stages: dict[str, list[float]],
) -> float:
    """Return images a second of the worker's loading threads and runner."""
    async with worker_parts(detector, threads, stages) as (prefetch, runner):
        began, done = time.perf_counter(), 0

        async def work_on() -> None:
            nonlocal done
            for task in tasks:
                async with prefetch.hold(task.image, runner.form):
                    answer = await runner.detect(task)
                assert not isinstance(answer.value, BaseException), answer.value
                done += 1

        await asyncio.gather(*(work_on() for _ in range(IMAGES_HELD)))
        return done / (time.perf_counter() - began)


def emptied(items: list[ItemT]) -> Iterator[ItemT]:
    """Yield the items, and keep none of them."""
    while items:
        yield items.pop()


def r2(
    detector: ObjectDetector, folder: Path, count: int, threads: int, stages: dict[str, list[float]]
) -> tuple[float, float, float]:
    """Compare the worker's parts with the loop, for files.

    Returns:
        Images a second of the worker's parts and of the loop, and the loop's processor time as a
        ratio of the worker's.
    """
    paths = sorted(folder.iterdir())
    chosen = [(number, paths[number % len(paths)]) for number in range(count)]

    images = emptied([work.image(f"{n}/{path.name}", path.read_bytes) for n, path in chosen])
    began = time.process_time()
    loop = loop_over_files(detector, images, threads)
    loop_seconds = time.process_time() - began
    tasks = emptied([work.task(f"{n}/{path.name}", load=path.read_bytes) for n, path in chosen])
    began = time.process_time()
    ours = asyncio.run(worker_over_files(detector, tasks, threads, stages))
    return ours, loop, loop_seconds / (time.process_time() - began)


class OnGpu(LocalRetinue):
    """The whole worker, with settings for full batches."""

    def environment(self, site: Site) -> dict[str, str]:
        return {
            **super().environment(site),
            "RETINUE_MAX_IN_FLIGHT": str(IMAGES_HELD),
            "RETINUE_PREFETCH_IMAGES": str(IMAGES_HELD),
            "RETINUE_PREFETCH_THREADS": str(CORES),
        }


def r3(pictures: dict[str, bytes]) -> float:
    """Return images a second of the whole worker."""
    from benchmarks.database import postgres
    from benchmarks.object_service import file_name
    from benchmarks.process import service

    with tempfile.TemporaryDirectory() as folder, postgres() as server_url:
        for key, data in pictures.items():
            Path(folder, file_name(key)).write_bytes(data)
        with service("object_service", folder) as s3:
            drained = drain(OnGpu(s3, pictures), len(pictures), 0, server_url)
    return drained.images_per_second


def tell(name: str, measured: Sequence[tuple[float, ...]], told: dict[str, Any]) -> None:
    """Print and keep the medians of rounds."""
    ours, loop, *of_time = (statistics.median(column) for column in zip(*measured, strict=True))
    ratio = statistics.median(one / other for one, other, *_ in measured)
    told[name] = {"images_per_second": ours, "loop_images_per_second": loop, "ratio": ratio}
    sys.stdout.write(f"{name:22}{ours:>10,.0f}{loop:>10,.0f}{ratio:>8.3f}")
    for one in of_time:
        told[name]["processor_time_ratio"] = one
        sys.stdout.write(f"  ({one:.3f} in processor time)")
    sys.stdout.write("\n")
    sys.stdout.flush()


def main() -> None:
    """Measure, print, write."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/gpu.json"))
    chosen = parser.parse_args()
    provider = session_provider(DEFAULT_PROVIDERS)
    is_simulated = provider == CPU
    told: dict[str, Any] = {"provider": "simulated" if is_simulated else provider}
    sys.stdout.write(f"{told['provider']}\n{'':22}{'images/s':>10}{'loop':>10}{'ratio':>8}\n")
    pictures = photographs(4 * BATCH)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, data in enumerate(pictures.values()):
            (folder / f"{number:03}.jpg").write_bytes(data)
        detector = started(ObjectDetector, is_simulated=is_simulated)
        images = [Image.from_file(path) for path in sorted(folder.iterdir())[: 2 * BATCH]]
        for image in images:
            image.prepared(detector.prepare)
        rounds = range(chosen.rounds)
        tell("R1", [r1(detector, images, chosen.seconds) for _ in rounds], told)
        stages: dict[str, list[float]] = defaultdict(list)
        count = int(400 * chosen.seconds) if is_simulated else int(4_000 * chosen.seconds)
        tell("R2, photographs", [r2(detector, folder, count, CORES, stages) for _ in rounds], told)
        ready = started(Ready, is_simulated=is_simulated)
        ready.canvases = {
            path.name: image.prepared(detector.prepare)
            for path, image in zip(sorted(folder.iterdir()), images, strict=False)
        }
        for path in sorted(folder.iterdir())[len(images) :]:
            path.unlink()
        for path in folder.iterdir():
            path.write_bytes(b"a canvas")
        count = int(4_000 * chosen.seconds)
        measured = [r2(ready, folder, count, CORES, defaultdict(list)) for _ in rounds]
        tell("R2, ready canvases", measured, told)
        if not is_simulated:
            loop = told["R2, photographs"]["loop_images_per_second"]
            tell("R3", [(r3(photographs(20 * BATCH)), loop)], told)
        told["stages_ms"] = {}
        for stage in STAGES:
            mean_ms = 1_000 * statistics.fmean(stages[stage])
            told["stages_ms"][stage] = mean_ms
            of = "an image" if stage in STAGES[:3] else "a batch"
            sys.stdout.write(f"{stage:22}{mean_ms:>10.2f} ms {of}\n")
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
