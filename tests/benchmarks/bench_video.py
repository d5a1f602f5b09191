"""Measure video: minutes of 1080p a second of CPU time by sampling, and memory over an hour.

``python -m benchmarks.bench_video`` (from tests/) writes benchmarks/video.json and the table of
docs/video.md. The worker's part, from the stored object to joined appearances, runs with
``onnx-objects``, after a first video that starts the decoder's process. The bare loop decodes with
PyAV in one process, converts the same frames, resizes them and runs the same network; it reads no
answer. CPU time includes child processes.
"""

import argparse
import asyncio
import json
import logging
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.page import with_tables

OUTPUT = Path("benchmarks/video.json")
PAGE = Path("docs/video.md")
CLIP_SECONDS = 60
SAMPLINGS: dict[str, dict[str, Any]] = {
    "a frame a second": {},
    "four frames a second": {"every_ms": 250},
    "key frames": {"sample": "keyframes"},
}
ROUNDS = 3
HOUR_EVERY_MS = 5_000


def clip(path: Path, source: Path, size: tuple[int, int] | None, seconds: int) -> None:
    """Write a video that repeats another one, scaled to a size, without encoding it again."""
    import av

    if size is not None:
        scaled = path.with_suffix(".once.mp4")
        with av.open(str(source)) as read, av.open(str(scaled), "w") as write:
            stream: Any = write.add_stream("libx264", rate=25, options={"preset": "veryfast"})
            stream.width, stream.height = size
            stream.gop_size = 50
            for frame in read.decode(video=0):
                write.mux(stream.encode(frame.reformat(*size, format="yuv420p")))
            write.mux(stream.encode())
        source = scaled
    with av.open(str(path), "w") as write:
        copy: Any = None
        shift = 0
        for _ in range(seconds // 10):
            with av.open(str(source)) as read:
                pictures = read.streams.video[0]
                copy = copy or write.add_stream_from_template(pictures)
                end = 0
                for packet in read.demux(pictures):
                    if packet.dts is None or packet.pts is None:
                        continue
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.pts += shift
                    packet.dts += shift
                    packet.stream = copy
                    write.mux(packet)
                shift += end


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children."""
    import psutil

    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ended = sum(one.ru_utime + one.ru_stime for one in both)
    return ended + sum(sum(one.cpu_times()[:2]) for one in psutil.Process().children())


async def worker(
    video: Path, sampling: dict[str, Any], detector: Any, decoder: Any, watch: Any = None
) -> int:
    """Process a video as a worker does, and return the number of frames."""
    from fakes import work
    from fakes.runners import running
    from retinue_history import RunKey
    from retinue_sdk import ImageReference
    from retinue_workers.dispatch.attempts import Attempts
    from retinue_workers.dispatch.video_frames import VideoFrames
    from retinue_workers.ops.metrics import Metrics
    from retinue_workers.settings.video import VideoSampling
    from retinue_workers.video.objects import VideoObject
    from retinue_workers.work import Task

    class Store:
        def read_part(self, reference: ImageReference, at: int, size: int) -> tuple[bytes, int]:
            with video.open("rb") as file:
                file.seek(at)
                return file.read(size), video.stat().st_size

    frames = 0

    def progress() -> None:
        nonlocal frames
        frames += 1
        if watch is not None:
            watch(frames)

    async with running(detector) as rig:
        rig.runner.video = VideoSampling(**sampling)
        part = VideoFrames(
            decoder=decoder,
            store=Store(),  # type: ignore[arg-type]
            attempts=Attempts(rig.budget, Metrics(in_flight=int, pause_reasons=int), 60),
            max_videos=1,
            max_bytes=10**10,
            max_appearances=50_000,
            on_progress=progress,
        )
        event = work.event("clip.mp4")
        found = VideoObject(event.reference, video.stat().st_size)
        key = RunKey(found.image_id, detector.name, detector.version, rig.runner.fingerprint)
        task = Task(work.message(), event, found, key, is_last_receive=False)
        answer = await part.detect(task, found, rig.runner)
    if isinstance(getattr(answer, "value", None), BaseException):
        raise answer.value  # type: ignore[union-attr]
    return frames


def bare(video: Path, sampling: dict[str, Any], session: Any, name: str) -> int:
    """Decode, convert, resize and run the network, in one process."""
    import av
    from PIL import Image

    every_ms, next_ms, looked = sampling.get("every_ms", 1_000), 0, 0
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        if sampling.get("sample") == "keyframes":
            stream.codec_context.skip_frame = "NONKEY"
        for frame in container.decode(stream):
            time_ms = round(frame.time * 1_000)
            if time_ms < next_ms:
                continue
            next_ms = (time_ms // every_ms + 1) * every_ms
            small = Image.fromarray(frame.to_ndarray(format="rgb24")).resize((416, 416))
            canvas = np.asarray(small, dtype=np.float32).transpose(2, 0, 1)[None]
            session.run(None, {name: np.ascontiguousarray(canvas)})
            looked += 1
    return looked


def speed(
    folder: Path, source: Path, rounds: int, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Compare the worker's part with the bare loop, round by round."""
    import onnxruntime
    from retinue_sdk.plugins.manager import Plugins
    from retinue_workers.video.reader import VideoDecoder

    video = folder / "clip.mp4"
    clip(video, source, (1_920, 1_080), CLIP_SECONDS)
    short = folder / "short.mp4"
    clip(short, source, None, 10)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    path = str(files("retinue_onnx") / "models" / "nanodet.onnx")
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0].name
    told: dict[str, dict[str, float]] = {}
    for name in names:
        sampling = SAMPLINGS[name]
        ours, theirs, looked = [], [], 0
        for _ in range(rounds):
            [detector] = Plugins().make({"onnx-objects": {}})
            detector.notes = _Nothing()
            with closing(VideoDecoder(max_px=10**8, timeout_seconds=60)) as decoder:
                asyncio.run(worker(short, sampling, detector, decoder))
                began = cpu_seconds()
                looked = asyncio.run(worker(video, sampling, detector, decoder))
                ours.append(CLIP_SECONDS / 60 / (cpu_seconds() - began))
            began = cpu_seconds()
            same = bare(video, sampling, session, entry)
            theirs.append(CLIP_SECONDS / 60 / (cpu_seconds() - began))
            if same != looked:
                raise RuntimeError(f"{name}: {looked} frames, and the bare loop has {same}")
        told[name] = {
            "frames": looked,
            "minutes_per_cpu_second": statistics.median(ours),
            "loop_minutes_per_cpu_second": statistics.median(theirs),
            "ratio": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
        }
        sys.stdout.write(
            f"{name:22}{looked:>5} frames {told[name]['minutes_per_cpu_second']:>7.3f} "
            f"minutes/CPU-s, loop {told[name]['loop_minutes_per_cpu_second']:>7.3f}, "
            f"ratio {told[name]['ratio']:.2f}\n"
        )
        sys.stdout.flush()
    return told


class _Nothing:
    """Stands for the notes of a scripted detector, which the rig releases."""

    def release(self) -> None:
        pass


def memory(folder: Path, source: Path) -> dict[str, Any]:
    """Return the memory of both processes while an hour passes, in bytes."""
    import psutil
    from retinue_sdk.plugins.manager import Plugins
    from retinue_workers.video.reader import VideoDecoder

    video = folder / "hour.mp4"
    clip(video, source, None, 3_600)
    resident: list[tuple[int, int]] = []

    def watch(frames: int) -> None:
        if frames % 10 == 0:
            with suppress(psutil.Error):
                me = psutil.Process()
                family = [me, *me.children()]
                resident.append((frames, sum(one.memory_info().rss for one in family)))

    began = time.perf_counter()
    [detector] = Plugins().make({"onnx-objects": {}})
    detector.notes = _Nothing()
    with closing(VideoDecoder(max_px=10**8, timeout_seconds=60)) as decoder:
        sampling = {"every_ms": HOUR_EVERY_MS}
        frames = asyncio.run(worker(video, sampling, detector, decoder, watch))
    early = max(size for at, size in resident if at <= frames // 6)
    late = max(size for at, size in resident if at > frames // 6)
    sys.stdout.write(
        f"an hour, {frames} frames in {time.perf_counter() - began:.0f} s: at most "
        f"{early / 1e6:.0f} MB in the first ten minutes, and {late / 1e6:.0f} MB after\n"
    )
    return {"frames": frames, "first_ten_minutes_bytes": early, "rest_bytes": late}


def table(told: Mapping[str, Any]) -> str:
    """Return the table of docs/video.md."""
    lines = [
        "| sampling | frames | minutes of video a CPU second | bare loop | ÷ bare loop |",
        "|---" * 5 + "|",
    ]
    lines += [
        f"| {name} | {told[name]['frames']} | {told[name]['minutes_per_cpu_second']:.3f} | "
        f"{told[name]['loop_minutes_per_cpu_second']:.3f} | {told[name]['ratio']:.2f} |"
        for name in SAMPLINGS
        if name in told
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--part", choices=(*SAMPLINGS, "memory"), help="only one part")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    chosen = parser.parse_args(arguments)
    import structlog
    from fakes.videos import BIKES

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    told = json.loads(chosen.output.read_text("utf-8")) if chosen.output.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        if names := [name for name in SAMPLINGS if chosen.part in (None, name)]:
            told |= speed(Path(folder), BIKES, chosen.rounds, names)
        if chosen.part in (None, "memory"):
            told["memory"] = memory(Path(folder), BIKES)
    chosen.output.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    if chosen.output == OUTPUT:
        page = PAGE.read_text("utf-8")
        PAGE.write_text(with_tables(page, {"sampling": table(told)}), encoding="utf-8")


if __name__ == "__main__":
    main()
