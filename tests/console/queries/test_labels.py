"""Counts of labels: equal to the view of daily counts, and the trend beside them."""

from collections.abc import Callable
from datetime import date, timedelta

from fakes.small_history import HOSTILE, NOON, found, image, run
from retinue_console.queries.filters import Filters
from retinue_console.queries.labels import label_history, list_labels
from retinue_history.db.connections import Connection

Record = Callable[..., None]


def test_labels_are_counted_as_the_daily_counts_say(record: Record, reader: Connection) -> None:
    images = [image(f"{n}.jpg", NOON - timedelta(days=n)) for n in range(50)]
    record(
        images,
        [
            run(one, [found("Cat", 0.5), found("Cat", 0.7), *([found("Dog")] if n % 5 else [])])
            for n, one in enumerate(images)
        ]
        + [run(images[0], [found("EXIT", kind="text")], detector="words")]
        + [run(images[0], [found("Ghost")], detector="no", model_version="emulator")],
    )
    counted = list_labels(reader, Filters())
    assert (counted.first_day, counted.last_day) == (date(2025, 12, 3), date(2026, 1, 1))
    assert [(one.kind, one.label, one.detections, one.before) for one in counted.labels] == [
        ("label", "Cat", 60, 40),
        ("label", "Dog", 24, 16),
        ("text", "", 1, 0),
    ]
    query = "SELECT label, sum(detections) FROM label_counts_daily WHERE day > %s GROUP BY label"
    assert dict(reader.execute(query, [date(2025, 12, 2)]).fetchall()) == {
        one.label: one.detections for one in counted.labels
    }
    cat, dog, _ = counted.labels
    assert cat.days == (2,) * 30
    assert dog.days[-6:] == (0, 1, 1, 1, 1, 0)
    assert cat.mean_confidence == 0.6
    assert [one.label for one in list_labels(reader, Filters(), part="do").labels] == ["Dog"]
    assert list_labels(reader, Filters(detector="words")).labels[0].kind == "text"
    past = list_labels(reader, Filters(until=NOON - timedelta(days=40, hours=12)), days=5)
    assert past.last_day == date(2025, 11, 21)
    assert past.labels[0].detections == 10


def test_the_history_of_a_label(record: Record, reader: Connection) -> None:
    for text in HOSTILE:
        text = text[:500]
        one = image(text)
        parents = found(text)._replace(attributes='{"Parents": [{"Name": "Everything"}]}')
        record([one], [run(one, [parents]), run(one, [found(text, 0.5)], version="2")])
        shown = label_history(reader, text, Filters(), days=2)
        assert shown is not None
        assert shown.parents == ("Everything",)
        assert [(two.detector_version, two.detections) for two in shown.series] == [
            ("1", (0, 1)),
            ("2", (0, 1)),
        ]
        assert shown.series[1].mean_confidences == (None, 0.5)
    wider = label_history(reader, "everything", Filters())
    assert wider is None
    assert label_history(reader, "no such", Filters()) is None
