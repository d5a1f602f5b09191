"""From untrusted bytes to pixels, bounded before anything is decoded.

Pillow and NumPy are imported here alone, and this package by whoever decodes: a worker whose
detectors work by reference does without.
"""

from retinue_sdk.decode.pixels import FORMATS, Pixels, decode, measure
from retinue_sdk.decode.structure import is_truncated

__all__ = ["FORMATS", "Pixels", "decode", "is_truncated", "measure"]
