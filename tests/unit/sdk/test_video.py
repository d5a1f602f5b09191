"""The values that describe a video."""

from typing import Any

import pytest
from retinue_sdk import VIDEO_SUFFIXES, ImageReference, Media, Video, media_of

REFERENCE = ImageReference("bucket", "clip.mp4", etag="0")


@pytest.mark.parametrize("suffix", sorted(VIDEO_SUFFIXES))
def test_a_video_is_known_by_its_suffix(suffix: str) -> None:
    assert media_of(f"a.b/clip{suffix}") == media_of(f"CLIP{suffix.upper()}") == Media.VIDEO


@pytest.mark.parametrize("key", ["mp4", ".mp4", "a.mp4/b", "clip.mp4.jpg", "clip.", "", "clip.ts"])
def test_every_other_key_is_an_image(key: str) -> None:
    assert media_of(key) == Media.IMAGE


@pytest.mark.parametrize(
    "fact",
    [
        {"size_bytes": -1},
        {"duration_ms": -1},
        {"width_px": 0},
        {"height_px": 0},
        {"frame_rate": 0.0},
        {"frame_rate": float("nan")},
        {"frame_rate": float("inf")},
        {"rotation_degrees": 45},
    ],
)
def test_an_impossible_fact_is_refused(fact: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(fact))} must be"):
        Video(REFERENCE, **fact)


def test_a_video_has_the_image_id_of_its_object() -> None:
    assert Video(REFERENCE).image_id == REFERENCE.image_id
