"""Decode untrusted image files into pixels, within limits that are checked first.

Only this package imports Pillow and NumPy. A worker whose detectors read images by reference
doesn't load it.
"""

from retinue_sdk.decode.pixels import (
    FORMATS,
    Pixels,
    decode,
    decode_smaller,
    is_shrinkable,
    measure,
    open_to_measure,
    shrink_of,
)
from retinue_sdk.decode.resize import resized
from retinue_sdk.decode.structure import is_truncated

__all__ = [
    "FORMATS",
    "Pixels",
    "decode",
    "decode_smaller",
    "is_shrinkable",
    "is_truncated",
    "measure",
    "open_to_measure",
    "resized",
    "shrink_of",
]
