"""An HTML page with the pictures on which models differ."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

SIDE_PX = 480
"""Longer side of a picture."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color-scheme: light dark }
table { border-collapse: collapse } th, td { padding: .3rem .8rem .3rem 0; text-align: left }
td, th { vertical-align: top } img { display: block; max-width: 100% }
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """An image on which models differ.

    Attributes:
        name: The image's name.
        pictures: For each model the picture with its findings.
        mistakes: For each model its number of mistakes.
    """

    name: str
    pictures: Sequence[Image.Image]
    mistakes: Sequence[int]


def comparison_page(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    models: Sequence[str],
    differences: Sequence[Difference],
    notes: Sequence[str],
) -> str:
    """Return a page that needs no other file: the table, then the pictures."""
    parts = [f"<h1>{escape(title)}</h1>", _table(columns, [[escape(c) for c in r] for r in rows])]
    parts += [f"<p>{escape(note)}</p>" for note in notes]
    parts.append("<h2>Pictures on which the models differ</h2>")
    pictures = [
        [
            escape(one.name),
            *(
                f'<img src="{_data(picture)}" alt="">{_mistakes(number)}'
                for picture, number in zip(one.pictures, one.mistakes, strict=True)
            ),
        ]
        for one in differences
    ]
    parts.append(_table(["image", *models], pictures) if pictures else "<p>There are none.</p>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in columns)
    body = "".join(f"<tr>{''.join(f'<td>{one}</td>' for one in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _mistakes(number: int) -> str:
    return f"{number} mistake{'' if number == 1 else 's'}" if number else "right"


def _data(picture: Image.Image) -> str:
    small = picture.copy()
    small.thumbnail((SIDE_PX, SIDE_PX))
    file = io.BytesIO()
    small.convert("RGB").save(file, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
