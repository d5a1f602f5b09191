"""Run in the decoder's process: decode one video, and send its frames to the worker."""

from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path

from retinue_sdk import ImageLimits, InvalidImageError
from retinue_sdk.errors import format_error

from retinue_workers.detectors.isolation.child import serving
from retinue_workers.detectors.isolation.protocol import JsonMessage, error_data, pack, unpack
from retinue_workers.settings.video import VideoSampling


def main(max_memory_bytes: int, connection: Connection, parent_id: int) -> None:
    """Send the facts of a video, then its frames until the end.

    The pipe holds less than a frame, so decoding is one frame ahead of the worker.
    """
    with serving(parent_id, max_memory_bytes):
        wanted = unpack(connection.recv_bytes())
        try:
            _send_video(wanted, connection)
        except (MemoryError, EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:  # noqa: BLE001 - decoders meet hostile files
            if not isinstance(error, InvalidImageError):
                error = InvalidImageError(
                    f"the video can't be decoded: {format_error(error)}", code="corrupt_video"
                )
            connection.send_bytes(pack({"error": error_data(error)}))


def _send_video(wanted: JsonMessage, connection: Connection) -> None:
    # Not at the top: the worker imports this module, and needs no decoder itself.
    from retinue_workers.video.decoder import VideoFile

    with Path(wanted["path"]).open("rb") as file:
        video = VideoFile(
            file, VideoSampling(**wanted["sampling"]), ImageLimits(max_px=wanted["max_px"])
        )
        connection.send_bytes(pack({"facts": asdict(video.facts)}))
        for time_ms, pixels in video.frames():
            connection.send_bytes(pack({"time_ms": time_ms, "shape": pixels.shape}))
            connection.send_bytes(pixels.data.cast("B"))
        connection.send_bytes(pack({"is_truncated": video.is_truncated}))
