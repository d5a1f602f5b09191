"""A Rekognition endpoint for tests and laptops: the real wire protocol, without AWS.

``python -m rekognition.endpoint --port 8700`` runs it as a program (with ``tests`` on the path).
It recognises nothing: what it "finds" follows from the image's bytes or name alone.
"""

from rekognition.endpoint.faults import Failure
from rekognition.endpoint.images import StoredObject
from rekognition.endpoint.server import Endpoint

__all__ = ["Endpoint", "Failure", "StoredObject"]
