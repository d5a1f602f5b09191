"""Run in the decoder's process: decode videos, and send their frames to the worker."""

import os
from contextlib import closing, suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import TYPE_CHECKING

from retinue_sdk import ImageLimits, InvalidImageError
from retinue_sdk.errors import format_error

from retinue_workers.detectors.isolation.child import serving
from retinue_workers.detectors.isolation.protocol import error_data, pack, unpack
from retinue_workers.settings.video import VideoSampling

if TYPE_CHECKING:
    from retinue_workers.video.decoder import VideoFile


def main(max_memory_bytes: int, connection: Connection, stack: Connection, parent_id: int) -> None:
    """Send the facts of each video, then its frames until the end. End after an error.

    Without a sampling, send the number of its frames, then their times.

    The pipe holds less than a frame, so decoding is one frame ahead of the worker.
    """
    with serving(stack, parent_id, max_memory_bytes):
        # Not at the top: the worker imports this module, and needs no decoder itself.
        try:
            from retinue_workers.video.decoder import VideoFile, frame_times_ms
        except (ImportError, OSError) as error:  # it is installed, as the settings require
            raise MemoryError(f"the decoder doesn't fit: {error}") from error
        while True:
            wanted = unpack(connection.recv_bytes())
            with os.fdopen(recv_handle(connection), "rb") as file:
                try:
                    limits = ImageLimits(max_px=wanted["max_px"])
                    if wanted["sampling"] is None:
                        times_ms = frame_times_ms(file, limits)
                        connection.send_bytes(pack({"facts": {"frames": len(times_ms)}}))
                        connection.send_bytes(times_ms.tobytes())
                        continue
                    sampling = VideoSampling(**wanted["sampling"])
                    video = VideoFile(file, sampling, limits)
                    if video.facts.duration_ms is None:  # as browsers record
                        video.close()
                        duration_ms = None
                        with suppress(InvalidImageError):  # it is decoded without
                            duration_ms = frame_times_ms(file, limits)[-1] + 1
                        video = VideoFile(file, sampling, limits, duration_ms)
                    with closing(video):
                        _send_video(video, connection)
                except (MemoryError, EOFError, BrokenPipeError, ConnectionResetError):
                    raise
                except Exception as error:  # noqa: BLE001 - decoders meet hostile files
                    if not isinstance(error, InvalidImageError):
                        reason = f"the video can't be decoded: {format_error(error)}"
                        error = InvalidImageError(reason, code="corrupt_video")
                    connection.send_bytes(pack({"error": error_data(error)}))
                    return


def _send_video(video: "VideoFile", connection: Connection) -> None:
    connection.send_bytes(pack({"facts": asdict(video.facts)}))
    for frame in video.frames():
        head = {
            "time_ms": frame.time_ms,
            "is_after_cut": frame.is_after_cut,
            "shape": frame.pixels.shape,
        }
        connection.send_bytes(pack(head))
        connection.send_bytes(frame.pixels.data.cast("B"))
    connection.send_bytes(pack({"is_truncated": video.is_truncated}))
