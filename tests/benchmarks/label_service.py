"""Rekognition's DetectLabels for benchmarks: ten labels an image, after a time.

``python -m benchmarks.label_service LATENCY_MS`` prints its address. ``GET /calls`` tells how often
it was asked, and how much processor time that took.
"""

import itertools
import json
import random
import sys
import time
from typing import Any

from benchmarks.http_service import Answer, Headers, serve

LABELS = 10
PLACED = 2
"""How many of the labels have an instance, which is a detection too."""
ANSWERS = 500
"""How many different answers there are; they are given in turn."""

TAXONOMY = (
    (
        "Vehicles and Automotive",
        ("Transportation", "Vehicle"),
        "Car/Automobile Bicycle/Bike Motorcycle/Motorbike Truck/Lorry Bus/Coach Boat/Watercraft",
    ),
    (
        "Animals and Pets",
        ("Animal", "Mammal"),
        "Dog/Canine Cat/Feline Horse/Equine Cow/Cattle Sheep/Lamb Rabbit/Bunny Deer/Stag Pig/Swine",
    ),
    (
        "Home and Indoors",
        ("Furniture", "Indoors"),
        "Couch/Sofa Chair/Seat Table/Desk Bed/Cot Lamp/Light Rug/Carpet Mirror/Glass Curtain/Drape",
    ),
    (
        "Food and Beverage",
        ("Food", "Meal"),
        "Bread/Loaf Pizza/Pie Burger/Hamburger Salad/Greens Soup/Broth Cake/Gateau Egg/Omelette",
    ),
    (
        "Plants and Flowers",
        ("Plant", "Vegetation"),
        "Tree/Timber Flower/Blossom Grass/Lawn Leaf/Foliage Palm/Arecaceae Rose/Rosa Fern/Bracken",
    ),
    (
        "Technology and Computing",
        ("Electronics", "Hardware"),
        "Laptop/Notebook Phone/Telephone Camera/Webcam Monitor/Screen Printer/Plotter Tablet/Slate",
    ),
)
"""A category, the two parents of its labels, and the labels with their aliases."""


def answers() -> list[bytes]:
    """Return answers as Rekognition gives them, the same each time.

    A label has two parents, an alias and a category, and two of an answer's labels have a place in
    the picture. The first labels of the taxonomy are frequent, the last ones rare.
    """
    chance = random.Random(1)
    labels = [
        {
            "Name": name,
            "Parents": [{"Name": parent} for parent in parents],
            "Aliases": [{"Name": alias}],
            "Categories": [{"Name": category}],
        }
        for category, parents, pairs in TAXONOMY
        for name, alias in (pair.split("/") for pair in pairs.split())
    ]
    return [
        json.dumps(_answer(labels, chance), separators=(",", ":")).encode() for _ in range(ANSWERS)
    ]


def _answer(labels: list[dict[str, Any]], chance: random.Random) -> dict[str, Any]:
    ranks = [(rank + 5) * chance.expovariate(1) for rank in range(len(labels))]
    chosen = sorted(range(len(labels)), key=ranks.__getitem__)[:LABELS]
    confidences = sorted((chance.uniform(55, 100) for _ in chosen), reverse=True)
    found = []
    for place, (number, confidence) in enumerate(zip(chosen, confidences, strict=True)):
        instances = []
        if place < PLACED:
            box = {edge: chance.uniform(0.1, 0.5) for edge in ("Width", "Height", "Left", "Top")}
            instances = [{"BoundingBox": box, "Confidence": confidence}]
        found.append(labels[number] | {"Confidence": confidence, "Instances": instances})
    return {"LabelModelVersion": "3.0", "Labels": found}


def main(latency_ms: float) -> None:
    """Serve."""
    calls = 0
    in_turn = itertools.cycle(
        Answer(body, delay_seconds=latency_ms / 1_000) for body in answers()
    ).__next__

    def handle(path: bytes, headers: Headers, body: bytes) -> Answer:
        nonlocal calls
        del headers, body
        if path == b"/calls":
            told = {"calls": calls, "cpu_seconds": time.process_time()}
            return Answer(json.dumps(told).encode())
        calls += 1
        return in_turn()

    serve(handle)


if __name__ == "__main__":
    main(float(sys.argv[1]))
