"""The results of jobs, in the shapes of botocore's model."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from retinue_rekognition_emulator.details import LABELS, Answer, face_detail, text_detection
from retinue_rekognition_emulator.video.header import Header
from retinue_rekognition_emulator.video.jobs import Job
from retinue_rekognition_emulator.video.timeline import (
    Appearance,
    appearances,
    frame_ms,
    sample_times,
    timecode,
)

HAS_INSTANCES = frozenset({"Person", "Car", "Dog", "Chair", "Plate"})
OPENINGS = ("ColorBars", "BlackFrames", "StudioLogo", "Slate", "OpeningCredits")
MODERATION = (
    ("Alcohol", "", 1),
    ("Alcoholic Beverages", "Alcohol", 2),
    ("Drinking", "Alcohol", 2),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A thing in a frame, or during an appearance.

    Attributes:
        at_ms: The frame's time.
        name: The thing's name or number, by which results can be sorted.
        number: Its place among the names of one appearance.
        appearance: Its appearance.
    """

    at_ms: int
    name: str
    number: int
    appearance: Appearance


@dataclass(frozen=True)
class Found:
    """The items of a result.

    Attributes:
        samples: One for each item, in order.
        item: Makes the item of a sample.
    """

    samples: Sequence[Any]
    item: Callable[[Any], Answer]


def _sampled(
    header: Header, every_ms: int, found: list[Appearance], names: Callable[[Appearance], list[str]]
) -> list[Sample]:
    """Return a sample for each name that appears, by time."""
    times = list(sample_times(header, every_ms))
    samples = []
    for appearance in found:
        first = bisect_left(times, appearance.start_ms)
        last = bisect_right(times, appearance.end_ms)
        for number, name in enumerate(names(appearance)):
            samples += [Sample(at, name, number, appearance) for at in times[first:last]]
    return sorted(samples, key=_order)


def _segments(found: list[Appearance], names: Callable[[Appearance], list[str]]) -> list[Sample]:
    """Return one sample for each name and appearance."""
    samples = [
        Sample(appearance.start_ms, name, number, appearance)
        for appearance in found
        for number, name in enumerate(names(appearance))
    ]
    return sorted(samples, key=_order)


def _order(sample: Sample) -> tuple[int, int, int]:
    return sample.at_ms, sample.appearance.subject, sample.number


def _by(samples: list[Sample], sort_by: str) -> list[Sample]:
    """Return samples sorted by TIMESTAMP, or else by name."""
    if sort_by == "TIMESTAMP":
        return samples
    return sorted(samples, key=lambda sample: sample.name)


def _span(sample: Sample) -> Answer:
    """Return the fields of SEGMENTS."""
    start, end = sample.appearance.start_ms, sample.appearance.end_ms
    return {
        "StartTimestampMillis": start,
        "EndTimestampMillis": end,
        "DurationMillis": end - start,
    }


def labels(job: Job, header: Header, request: Answer, every_ms: int) -> Found:
    """Return labels with their ancestors, as samples or as segments."""
    digest, asked = job.content.digest, job.request
    found = appearances(job.content, header, "label", 2 + digest[0] % (len(LABELS) - 1))
    filters = asked.get("Settings", {}).get("GeneralLabels", {})
    least = asked.get("MinConfidence", 50)

    def names(appearance: Appearance) -> list[str]:
        name, ancestors, category = LABELS[appearance.subject]
        return [one for one in (name, *ancestors) if _is_wanted(one, category, filters)]

    by_segments = request.get("AggregateBy") == "SEGMENTS"

    def confidence(sample: Sample) -> float:
        one = sample.appearance
        return one.confidence if by_segments else one.confidence_at(sample.at_ms)

    def item(sample: Sample) -> Answer:
        _, ancestors, category = LABELS[sample.appearance.subject]
        is_instance = sample.name in HAS_INSTANCES and not by_segments
        box = {
            "BoundingBox": sample.appearance.box(sample.at_ms),
            "Confidence": confidence(sample),
        }
        above = ancestors[ancestors.index(sample.name) + 1 :] if sample.name in ancestors else None
        label = {
            "Name": sample.name,
            "Confidence": confidence(sample),
            "Instances": [box] if is_instance else [],
            "Parents": [{"Name": name} for name in (ancestors if above is None else above)],
            "Aliases": [{"Name": "Human Being"}] if sample.name == "Person" else [],
            "Categories": [{"Name": category}],
        }
        told = {"Timestamp": sample.at_ms, "Label": label}
        return told | (_span(sample) if by_segments else {})

    samples = _segments(found, names) if by_segments else _sampled(header, every_ms, found, names)
    samples = [sample for sample in samples if confidence(sample) >= least]
    return Found(_by(samples, request.get("SortBy", "TIMESTAMP")), item)


def _is_wanted(name: str, category: str, filters: Answer) -> bool:
    included = filters.get("LabelInclusionFilters") or [name]
    included_categories = filters.get("LabelCategoryInclusionFilters") or [category]
    return (
        name in included
        and category in included_categories
        and name not in filters.get("LabelExclusionFilters", ())
        and category not in filters.get("LabelCategoryExclusionFilters", ())
    )


def moderation(job: Job, header: Header, request: Answer, every_ms: int) -> Found:
    """Return labels of the taxonomy in half of the videos, as samples or as segments."""
    found = appearances(job.content, header, "moderation", job.content.digest[1] % 2)
    by_segments = request.get("AggregateBy") == "SEGMENTS"
    least = job.request.get("MinConfidence", 50)

    def names(appearance: Appearance) -> list[str]:
        drinks = 1 + int(appearance.identity[0], 16) % 2
        return [MODERATION[0][0], MODERATION[drinks][0]]

    def confidence(sample: Sample) -> float:
        one = sample.appearance
        return one.confidence if by_segments else one.confidence_at(sample.at_ms)

    def item(sample: Sample) -> Answer:
        name, parent, level = next(one for one in MODERATION if one[0] == sample.name)
        told = {
            "Timestamp": sample.at_ms,
            "ModerationLabel": {
                "Name": name,
                "ParentName": parent,
                "TaxonomyLevel": level,
                "Confidence": confidence(sample),
            },
            "ContentTypes": [{"Name": "Illustrated", "Confidence": 91.0}],
        }
        return told | (_span(sample) if by_segments else {})

    samples = _segments(found, names) if by_segments else _sampled(header, every_ms, found, names)
    samples = [sample for sample in samples if confidence(sample) >= least]
    return Found(_by(samples, request.get("SortBy", "TIMESTAMP")), item)


def faces(job: Job, header: Header, request: Answer, every_ms: int) -> Found:
    """Return up to three faces."""
    del request
    found = appearances(job.content, header, "face", job.content.digest[2] % 4)
    every = job.request.get("FaceAttributes") == "ALL"

    def item(sample: Sample) -> Answer:
        face = _face(sample, every=every)
        return {"Timestamp": sample.at_ms, "Face": face}

    return Found(_sampled(header, every_ms, found, lambda one: [str(one.subject)]), item)


def _face(sample: Sample, *, every: bool = False) -> Answer:
    """Return a face. By the documentation, videos' faces lack two attributes of images'."""
    face = face_detail(sample.appearance.face(sample.at_ms), every)
    face["Confidence"] = sample.appearance.confidence_at(sample.at_ms)
    return {key: face[key] for key in face if key not in ("FaceOccluded", "EyeDirection")}


def persons(job: Job, header: Header, request: Answer, every_ms: int) -> Found:
    """Return persons, some of whom match faces of the collection."""
    matches: list[list[Answer]] = job.found
    found = appearances(job.content, header, "person", len(matches))

    def item(sample: Sample) -> Answer:
        face = _face(sample)
        box = face["BoundingBox"]
        body = box | {"Height": round(min(2 * box["Height"], 1 - box["Top"]), 6)}
        subject = sample.appearance.subject
        told: Answer = {
            "Timestamp": sample.at_ms,
            "Person": {"Index": subject, "BoundingBox": body, "Face": face},
        }
        return told | ({"FaceMatches": matches[subject]} if matches[subject] else {})

    samples = _sampled(header, every_ms, found, lambda one: [str(one.subject)])
    return Found(_by(samples, request.get("SortBy", "TIMESTAMP")), item)


def celebrities(job: Job, header: Header, request: Answer, every_ms: int) -> Found:
    """Return up to two celebrities."""
    found = appearances(job.content, header, "celebrity", job.content.digest[3] % 3)

    def item(sample: Sample) -> Answer:
        face = _face(sample)
        identity = sample.appearance.identity
        return {
            "Timestamp": sample.at_ms,
            "Celebrity": {
                "Urls": ["www.wikidata.org/wiki/Q42"],
                "Name": f"Celebrity {identity[:6]}",
                "Id": f"1Abc{identity[1:5]}",
                "Confidence": face["Confidence"],
                "BoundingBox": face["BoundingBox"],
                "Face": face,
                "KnownGender": {"Type": "Nonbinary"},
            },
        }

    samples = _sampled(header, every_ms, found, lambda one: [f"1Abc{one.identity[1:5]}"])
    return Found(_by(samples, request.get("SortBy", "TIMESTAMP")), item)


def text(job: Job, header: Header, request: Answer, every_ms: int) -> Found:
    """Return lines of two words."""
    del request
    found = appearances(job.content, header, "text", 1 + job.content.digest[4] % 2)
    filters = job.request.get("Filters", {})

    def detection(sample: Sample) -> Answer:
        words = [sample.appearance.identity[:4], sample.appearance.identity[4:8]]
        line = 3 * sample.appearance.subject
        if sample.name == "LINE":
            told = text_detection(line, "LINE", " ".join(words))
        else:
            word = int(sample.name)
            told = text_detection(line + 1 + word, "WORD", words[word]) | {"ParentId": line}
        return told | {"Confidence": sample.appearance.confidence_at(sample.at_ms)}

    def item(sample: Sample) -> Answer:
        return {"Timestamp": sample.at_ms, "TextDetection": detection(sample)}

    samples = _sampled(header, every_ms, found, lambda _: ["LINE", "0", "1"])
    return Found([one for one in samples if _is_readable(detection(one), filters)], item)


def _is_readable(told: Answer, filters: Answer) -> bool:
    words, box = filters.get("WordFilter", {}), told["Geometry"]["BoundingBox"]
    middle = (box["Left"] + box["Width"] / 2, box["Top"] + box["Height"] / 2)
    regions = [region["BoundingBox"] for region in filters.get("RegionsOfInterest", ())]
    return (
        told["Confidence"] >= words.get("MinConfidence", 80)
        and box["Height"] >= words.get("MinBoundingBoxHeight", 0)
        and box["Width"] >= words.get("MinBoundingBoxWidth", 0)
        and (not regions or any(_is_within(middle, region) for region in regions))
    )


def _is_within(point: tuple[float, float], box: dict[str, float]) -> bool:
    across, down = point[0] - box.get("Left", 0), point[1] - box.get("Top", 0)
    return 0 <= across <= box.get("Width", 1) and 0 <= down <= box.get("Height", 1)


def segments(job: Job, header: Header, request: Answer, every_ms: int) -> Found:
    """Return shots and technical cues, exact to the frame."""
    del request, every_ms
    filters = job.request.get("Filters", {})
    makers = {
        "TECHNICAL_CUE": ("TechnicalCueFilter", "TechnicalCueSegment", _cues),
        "SHOT": ("ShotFilter", "ShotSegment", _shots),
    }
    found = []
    for kind in job.request["SegmentTypes"]:
        name, member, maker = makers[kind]
        least = filters.get(name, {}).get("MinSegmentConfidence", 50)
        chance = Random(job.content.digest.hex() + kind)  # noqa: S311 - invents
        found += [
            {"Type": kind} | _frames(header, start, end) | {member: one}
            for start, end, one in maker(header, chance)
            if one["Confidence"] >= least
        ]
    return Found(found, lambda one: one)


def _shots(header: Header, chance: Random) -> Iterator[tuple[int, int, Answer]]:
    """Yield the first and last frame of each shot. Together they are the whole video."""
    start = index = 0
    while start < header.frames:
        end = start + max(1, int(chance.uniform(1.5, 8) * header.frame_rate)) - 1
        end = min(end, header.frames - 1)
        yield start, end, {"Index": index, "Confidence": round(chance.uniform(70, 99), 4)}
        start, index = end + 1, index + 1


def _cues(header: Header, chance: Random) -> Iterator[tuple[int, int, Answer]]:
    """Yield the opening, the content and the credits that fit into the video."""
    opening = min(int(chance.uniform(0.5, 3) * header.frame_rate), header.frames // 4)
    end, last = header.frames // 10, header.frames - 1
    kinds = [
        (0, opening - 1, chance.choice(OPENINGS)),
        (opening, last - end, "Content"),
        (last - end + 1, last, "EndCredits"),
    ]
    for start, stop, kind in kinds:
        if start <= stop:
            yield start, stop, {"Type": kind, "Confidence": round(chance.uniform(60, 99), 4)}


def _frames(header: Header, start: int, end: int) -> Answer:
    """Return the times of the first and the last frame in three units. The last is the end."""
    first, last = frame_ms(header, start), frame_ms(header, end)
    return {
        "StartTimestampMillis": first,
        "EndTimestampMillis": last,
        "DurationMillis": last - first,
        "StartTimecodeSMPTE": timecode(header, start),
        "EndTimecodeSMPTE": timecode(header, end),
        "DurationSMPTE": timecode(header, end - start),
        "StartFrameNumber": start,
        "EndFrameNumber": end,
        "DurationFrames": end - start,
    }


def matched_faces(digest: bytes, identities: list[str], search: Callable[[str], Any]) -> Any:
    """Return the matches of each person in a video. At most one person matches.

    Args:
        digest: The video's.
        identities: The persons in the collection.
        search: Returns the collection's faces that are similar to a person.
    """
    count = 1 + digest[5] % 3
    known = digest[6] % count
    return [
        search(identities[digest[7] % len(identities)]) if identities and one == known else []
        for one in range(count)
    ]
