"""A stand-in for Rekognition, for tests and laptops: the real wire protocol, without AWS.

``python -m retinue_rekognition.endpoint`` runs it as a program. It recognises nothing. What it can
measure (colours, brightness, where in the picture something is) it measures; the rest it invents,
always the same for the same bytes.
"""

from retinue_rekognition.endpoint.faults import Failure
from retinue_rekognition.endpoint.images import StoredObject
from retinue_rekognition.endpoint.server import Endpoint

__all__ = ["Endpoint", "Failure", "StoredObject"]
