"""Rekognition's DetectLabels for benchmarks: ten detections an image, after a time.

``python -m benchmarks.label_service LATENCY_MS`` prints its address. ``GET /calls`` tells how often
it was asked.
"""

import json
import sys

from benchmarks.http_service import Answer, Headers, serve

LABELS = 7
"""Every other one with a place in the picture, which is a detection too: ten in all."""


def answer_body(labels: int = LABELS) -> bytes:
    """An answer as Rekognition gives it: half of the labels with a place in the picture."""
    return json.dumps(
        {
            "LabelModelVersion": "3.0",
            "Labels": [
                {
                    "Name": f"Label {number}",
                    "Confidence": 99.0 - number,
                    "Instances": [
                        {
                            "BoundingBox": {
                                "Left": 0.1,
                                "Top": 0.2,
                                "Width": 0.3,
                                "Height": 0.4,
                            },
                            "Confidence": 98.5 - number,
                        }
                    ]
                    if number % 2
                    else [],
                    "Parents": [{"Name": "Thing"}],
                    "Aliases": [],
                    "Categories": [{"Name": "Everyday Objects"}],
                }
                for number in range(labels)
            ],
        }
    ).encode()


def main(latency_ms: float) -> None:
    """Serve."""
    calls = 0
    answer = Answer(answer_body(), delay_seconds=latency_ms / 1_000)

    def handle(path: bytes, headers: Headers, body: bytes) -> Answer:
        nonlocal calls
        del headers, body
        if path == b"/calls":
            return Answer(b"%d" % calls)
        calls += 1
        return answer

    serve(handle)


if __name__ == "__main__":
    main(float(sys.argv[1]))
