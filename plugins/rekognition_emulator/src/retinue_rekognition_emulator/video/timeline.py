"""Invent when things appear in a video and where they are, always the same for the same bytes."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from retinue_rekognition_emulator.images import Face
from retinue_rekognition_emulator.video.header import Header
from retinue_rekognition_emulator.video.jobs import Content


@dataclass(frozen=True)
class Appearance:
    """One appearance of something.

    Attributes:
        subject: The number of the thing that appears.
        identity: Identifies the thing among all videos.
        start_ms: When it appears, in milliseconds from the first frame.
        end_ms: When it disappears.
        confidence: Its mean confidence.
        left: Its place when it appears. It drifts slowly to the right and back.
        top: Its place.
        width: Its size.
        height: Its size.
    """

    subject: int
    identity: str
    start_ms: int
    end_ms: int
    confidence: float
    left: float
    top: float
    width: float
    height: float

    def box(self, at_ms: int) -> dict[str, float]:
        """Return its box at a time. Boxes of neighbouring samples overlap."""
        phase = (at_ms - self.start_ms) / 4_000 % 2
        drift = 0.1 * (phase if phase < 1 else 2 - phase)
        return {
            "Left": round(self.left + drift, 6),
            "Top": self.top,
            "Width": self.width,
            "Height": self.height,
        }

    def confidence_at(self, at_ms: int) -> float:
        """Return its confidence at a time: within 2 of the mean."""
        return round(self.confidence + (at_ms * 7 % 401) / 100 - 2, 4)

    def face(self, at_ms: int) -> Face:
        """Return it as a face."""
        return Face(self.identity, self.box(at_ms))


def appearances(content: Content, header: Header, kind: str, subjects: int) -> list[Appearance]:
    """Return the appearances of some things, which enter and leave the picture.

    Args:
        content: The video.
        header: Its facts.
        kind: The kind of thing. Kinds are independent of each other.
        subjects: The number of things. The first is there from the beginning.
    """
    found = []
    for subject in range(subjects):
        seed = content.digest + f"{kind}/{subject}".encode()
        identity = hashlib.sha256(seed).hexdigest()
        chance = Random(identity)  # noqa: S311 - invents
        at = chance.uniform(0, 3_000) if subject else 0.0
        while at < header.duration_ms:
            end = min(at + chance.uniform(1_500, 12_000), header.duration_ms)
            found.append(
                Appearance(
                    subject,
                    identity,
                    int(at),
                    int(end),
                    round(chance.uniform(82, 97), 4),
                    left=round(0.02 + 0.3 * (subject % 3) + chance.uniform(0, 0.05), 6),
                    top=round(0.1 + 0.4 * (subject // 3 % 2) + chance.uniform(0, 0.05), 6),
                    width=0.2,
                    height=0.3,
                )
            )
            at = end + chance.uniform(2_000, 10_000)
    return found


def sample_times(header: Header, every_ms: int) -> Iterator[int]:
    """Yield the times of the frames that are looked at: full milliseconds, rounded down."""
    frame = number = 0
    while frame < header.frames:
        yield frame_ms(header, frame)
        number += 1
        frame = max(frame + 1, round(number * every_ms * header.frame_rate / 1_000))


def frame_ms(header: Header, frame: int) -> int:
    """Return the time of a frame in milliseconds, rounded down."""
    return int(frame * 1_000 / header.frame_rate)


def timecode(header: Header, frame: int) -> str:
    """Return a frame's SMPTE timecode: hh:mm:ss:ff, or hh:mm:ss;ff for drop-frame rates."""
    nominal = max(1, round(header.frame_rate))
    drops = nominal in (30, 60) and abs(header.frame_rate * 1.001 - nominal) < 0.01
    if drops:
        # The first frame numbers of each minute are left out, except in every tenth minute.
        dropped = nominal // 15
        ten_minutes, rest = divmod(frame, nominal * 600 - 9 * dropped)
        frame += 9 * dropped * ten_minutes
        if rest >= nominal * 60:
            frame += dropped * (1 + (rest - nominal * 60) // (nominal * 60 - dropped))
    seconds, frames = divmod(frame, nominal)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{';' if drops else ':'}{frames:02}"
